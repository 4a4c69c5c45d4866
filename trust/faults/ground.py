"""The servers that a run needs, each begun when it's needed and ended with the run."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.server import ROOT, served

from .load import Site, send
from .servers import PostgreSQL, Redis

WORKERS, THREADS = 2, 4
# Each thread has one, and so has the thread of the request log.
CONNECTIONS_MAX = WORKERS * (THREADS + 1)

Tokens = dict[str, list[str]]


@dataclass(slots=True)
class Ground:
    """What a fault may stop, and the sites that feel it."""

    sites: list[Site]
    tokens: Tokens
    postgresql: PostgreSQL | None = None
    redis: Redis | None = None
    clock: Path | None = None
    disk: Path | None = None


def can_mount() -> bool:
    """Whether a small disk can be made: only root may."""
    return os.geteuid() == 0 and sys.platform == "linux"


@contextmanager
def on_postgresql() -> Iterator[Ground]:
    """The database and the cache, without a site."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trust-faults-")))
        postgresql = PostgreSQL(folder)
        stack.callback(postgresql.stop)
        redis = Redis()
        stack.callback(redis.stop)
        tokens = _prepare({"DATABASE_URL": postgresql.url, "REDIS_URL": redis.url})
        yield Ground([], tokens, postgresql, redis)


@contextmanager
def with_sites(ground: Ground, *, clock: bool = False) -> Iterator[Ground]:
    """Serve the site; with ``clock``, by the time of a file."""
    assert ground.postgresql is not None
    assert ground.redis is not None
    with tempfile.TemporaryDirectory() as folder:
        environment = {"DATABASE_URL": ground.postgresql.url, "REDIS_URL": ground.redis.url}
        file = Path(folder) / "clock"
        if clock:
            file.write_text("0")
            environment["TRUST_CLOCK"] = str(file)
        with (
            _server({**environment, "TRUST_CACHE": ""}) as uncached,
            _server({**environment, "TRUST_CACHE": "default"}) as cached,
        ):
            yield replace(
                ground,
                sites=[Site(uncached, cached=False), Site(cached, cached=True)],
                clock=file,
            )


@contextmanager
def on_sqlite() -> Iterator[Ground]:
    """A site whose database is on a small disk in memory."""
    with tempfile.TemporaryDirectory(prefix="trust-faults-") as folder:
        command = ["mount", "-t", "tmpfs", "-o", "size=16m", "none", folder]
        subprocess.run(command, check=True)
        try:
            environment = {"DATABASE_URL": f"sqlite:///{folder}/site.sqlite3", "REDIS_URL": ""}
            tokens = _prepare(environment)
            with _server({**environment, "TRUST_CACHE": ""}) as port:
                yield Ground([Site(port, cached=False)], tokens, disk=Path(folder))
        finally:
            subprocess.run(["umount", folder], check=True)


def _prepare(environment: Mapping[str, str]) -> Tokens:
    printed = subprocess.run(
        [sys.executable, "-m", "trust.faults.prepare"],
        cwd=ROOT,
        env={**os.environ, **environment, "TRUST_CACHE": ""},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    tokens: Tokens = json.loads(printed)
    return tokens


@contextmanager
def _server(environment: Mapping[str, str]) -> Iterator[int]:
    def command(number: int) -> list[str]:
        command = [sys.executable, "-m", "gunicorn", "trust.faults.wsgi:application"]
        command += [f"--bind=fd://{number}", f"--workers={WORKERS}", f"--threads={THREADS}"]
        command += ["--worker-class=gthread", "--log-level=critical", "--no-control-socket"]
        return command

    with served(environment, command) as port:
        asyncio.run(all_workers(port))
        yield port


async def all_workers(port: int, host: str = "127.0.0.1") -> None:
    """Wait until every thread of every worker has begun."""
    seen: set[int] = set()
    while len(seen) < WORKERS:
        calls = (send(port, "GET", "/pid/", host=host) for _ in range(WORKERS * THREADS))
        seen |= {json.loads(content)["pid"] for *_, content in await asyncio.gather(*calls)}
