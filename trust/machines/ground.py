"""The machines of a run: each has an address of its own on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.server import ROOT, served

from ..faults import servers as of_faults
from ..faults.ground import THREADS, WORKERS, all_workers
from ..faults.servers import PostgreSQL
from .load import Address
from .servers import Nginx, ReplicatedRedis, Standby, executable

SERVERS = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
POSTGRESQL = ["127.0.0.5", "127.0.0.6"]
REDIS = ["127.0.0.7", "127.0.0.8", "127.0.0.9"]


@dataclass(slots=True)
class Ground:
    """What may fail over, and the servers that feel it."""

    entrance: Address
    servers: list[Address]
    tokens: dict[str, Any]
    primary: PostgreSQL
    standby: Standby
    redis: ReplicatedRedis


def missing() -> list[str]:
    """Return what is not installed here, and that cannot be done without."""
    needed = {"nginx": executable(), "django-redis": find_spec("django_redis")}
    return [*of_faults.missing(), *(name for name, where in needed.items() if not where)]


@contextmanager
def machines(*, cached: bool) -> Iterator[Ground]:
    """Start everything; with ``cached``, the site has ``CACHE``."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trust-machines-")))
        folder.chmod(0o755)
        folders = [folder / name for name in ("primary", "standby")]
        for own in folders:
            own.mkdir()
        primary = PostgreSQL(folders[0], POSTGRESQL[0])
        stack.callback(_stop, primary)
        redis = ReplicatedRedis(folder, REDIS)
        stack.callback(redis.stop)
        addresses: dict[str, list[Address]] = {
            "postgresql": [(primary.host, primary.port)],
            "sentinels": [(each.host, each.port) for each in redis.sentinels],
        }
        environment = {"TRUST_CACHE": "default" if cached else ""}
        tokens = _prepare({**environment, "TRUST_MACHINES": json.dumps(addresses)})
        standby = Standby(folders[1], POSTGRESQL[1], primary)
        stack.callback(_stop, standby)
        addresses["postgresql"].append((standby.host, standby.port))
        environment["TRUST_MACHINES"] = json.dumps(addresses)
        own = [(host, stack.enter_context(_served(environment, host))) for host in SERVERS]
        nginx = Nginx(folder, own)
        stack.callback(nginx.stop)
        yield Ground((nginx.host, nginx.port), own, tokens, primary, standby, redis)


def _prepare(environment: dict[str, str]) -> dict[str, Any]:
    printed = subprocess.run(
        [sys.executable, "-m", "trust.machines.prepare"],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    tokens: dict[str, Any] = json.loads(printed)
    return tokens


def _stop(postgresql: PostgreSQL) -> None:
    if postgresql.is_running:
        postgresql.stop()


@contextmanager
def _served(environment: dict[str, str], host: str) -> Iterator[int]:
    def command(number: int) -> list[str]:
        command = [sys.executable, "-m", "gunicorn", "trust.machines.wsgi:application"]
        command += [f"--bind=fd://{number}", f"--workers={WORKERS}", f"--threads={THREADS}"]
        return [*command, "--worker-class=gthread", "--log-level=critical", "--no-control-socket"]

    with served(environment, command, host) as port:
        asyncio.run(all_workers(port, host))
        yield port
