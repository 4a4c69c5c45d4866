"""What PostgreSQL and Redis on this machine carry: operations per second, and CPU time of each."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from glob import glob
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from django.core.cache import caches
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from .measure import WrongAnswer

CLIENTS = 8  # connections at once, from pgbench and redis-benchmark
PROCESSES = 2  # that write the log

_MOMENT = re.compile(r"'\d{4}-\d\d-\d\d [^']*'::timestamptz")


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast something went.

    Attributes:
        second: operations per second.
        server: CPU time of the server for each, in microseconds.
    """

    second: float
    server: float


def missing() -> list[str]:
    """What isn't here, without which nothing can be measured."""
    wanted = {
        "PostgreSQL (DATABASE_URL)": connection.vendor == "postgresql",
        "pgbench": _pgbench() is not None,
        "Redis (REDIS_URL)": "redis" in caches.settings,
        "redis-benchmark": shutil.which("redis-benchmark") is not None,
    }
    return [name for name, is_here in wanted.items() if not is_here]


def redis() -> Any:
    cache: Any = caches["redis"]
    return cache._cache.get_client(write=True)


def statements_of(call: Callable[[], object]) -> list[str]:
    """Return the statements that ``call`` sends, with their parameters in them."""
    with CaptureQueriesContext(connection) as queries:
        call()
    return [query["sql"] for query in queries]


def script(statement: str, **replaced: str) -> str:
    """Return ``statement`` for pgbench: its first moment is now, and numbers are random."""
    statement = _MOMENT.sub("now()", statement, count=1)
    for text in replaced.values():
        before, after = text.split(" -> ")
        if before not in statement:
            raise WrongAnswer(f"{before} isn't in: {statement}")
        statement = statement.replace(before, after)
    # What is one string to the server stays one.
    return statement.replace("; ", " \\; ")


def in_postgresql(statement: str, numbers: tuple[int, int], seconds: int) -> Rate:
    """Have pgbench repeat ``statement`` with a random ``:n``."""
    settings = connection.settings_dict
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "script.sql")
        file.write_text(f"\\set n random({numbers[0]}, {numbers[1]})\n{statement};\n")
        command = [str(_pgbench()), "--no-vacuum", f"--file={file}", f"--client={CLIENTS}"]
        command += ["--jobs=2", f"--time={seconds}", str(settings["NAME"])]
        names = {"HOST": "PGHOST", "PORT": "PGPORT", "USER": "PGUSER", "PASSWORD": "PGPASSWORD"}
        given = {name: str(settings[key]) for key, name in names.items() if settings[key]}
        before = _cpu_of_postgresql()
        done = subprocess.run(
            command, env={**os.environ, **given}, capture_output=True, text=True, check=False
        )
        after = _cpu_of_postgresql()
    tps = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    number = re.search(r"actually processed: (\d+)", done.stdout)
    has_failed = done.returncode or "failed transactions: 0" not in done.stdout
    if has_failed or tps is None or number is None:
        raise WrongAnswer(f"pgbench: {done.stdout}{done.stderr}")
    return Rate(float(tps[1]), (after - before) / int(number[1]) * 1e6)


def in_redis(command: list[str], seconds: int) -> Rate:
    """Have redis-benchmark repeat ``command``."""
    keywords: dict[str, Any] = redis().connection_pool.connection_kwargs
    program = ["redis-benchmark", "-h", keywords.get("host", "127.0.0.1"), "--csv"]
    program += ["-p", str(keywords.get("port", 6379)), "--dbnum", str(keywords.get("db", 0))]
    program += ["-c", str(CLIENTS)]
    environment = {**os.environ}
    if keywords.get("password"):
        environment["REDISCLI_AUTH"] = keywords["password"]
    number, rate = 20_000, 0.0
    while True:
        before, began = _cpu_of_redis(), time.perf_counter()
        done = subprocess.run(
            [*program, "-n", str(number), *command],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        taken, cpu = time.perf_counter() - began, _cpu_of_redis() - before
        rate = float(done.stdout.splitlines()[-1].split(",")[1].strip('"'))
        if taken >= seconds / 2:
            return Rate(rate, cpu / number * 1e6)
        number = int(rate * seconds)


def by_processes(work: Callable[[], int], seconds: int, *, in_redis: bool = False) -> Rate:
    """Repeat ``work``, which returns how much it did, in processes of their own."""
    cpu = _cpu_of_redis if in_redis else _cpu_of_postgresql
    before = cpu()
    connections.close_all()  # no process may have another's
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("fork")) as pool:
        futures = [pool.submit(partial(_repeat, work, seconds)) for _ in range(PROCESSES)]
        done = [future.result() for future in futures]
    number = sum(number for number, _ in done)
    return Rate(sum(number / taken for number, taken in done), (cpu() - before) / number * 1e6)


def _repeat(work: Callable[[], int], seconds: int) -> tuple[int, float]:
    work()  # connects
    number, began = 0, time.perf_counter()
    while (taken := time.perf_counter() - began) < seconds:
        number += work()
    connections.close_all()
    return number, taken


def _pgbench() -> str | None:
    found = shutil.which("pgbench")
    return found or next(iter(sorted(glob("/usr/lib/postgresql/*/bin/pgbench"))[-1:]), None)


def _cpu_of_postgresql() -> float:
    """Return the CPU seconds so far of the server's processes, which must be on this machine."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        postmaster = _stat(f"/proc/{cursor.fetchone()[0]}/stat")[1]
    ticks = 0
    for file in glob("/proc/[0-9]*/stat"):
        # Other processes come and go.
        with suppress(OSError):
            stat = _stat(file)
            if postmaster in (file.split("/")[2], stat[1]):
                # Of the process, and of those of its children that have ended.
                ticks += sum(map(int, stat[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _stat(file: str) -> list[str]:
    """Return what /proc says of a process, from its state on: the parent comes second."""
    return Path(file).read_text().rpartition(")")[2].split()


def _cpu_of_redis() -> float:
    cpu = redis().info("cpu")
    return float(cpu["used_cpu_sys"] + cpu["used_cpu_user"])
