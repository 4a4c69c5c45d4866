"""The servers of a run: PostgreSQL, Redis, and gunicorn with one setting after another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.server import ROOT, served

from ..faults.servers import PostgreSQL, Redis
from .client import Client
from .kinds import USED


@dataclass(frozen=True, slots=True)
class Site:
    """The services, and what their database holds."""

    environment: dict[str, str]
    api_keys: dict[str, list[str]]
    used: list[str]

    @contextmanager
    def client(self, *, cache: str = "", limit: str = "", leak: int = 0) -> Iterator[Client]:
        """Serve the site, have the keys cached that are to be in use, and yield a client.

        Args:
            cache: the alias for ``CACHE``.
            limit: the ``FAILURE_LIMIT``.
            leak: how much longer keys with the mark take, in microseconds.
        """
        import redis  # not needed by the other parts

        def command(number: int) -> list[str]:
            command = [sys.executable, "-m", "gunicorn", "trust.timing.wsgi:application"]
            # One request at a time, by one thread: the client is the only one. Of gunicorn's
            # workers, those of the class "sync" close each connection.
            command += [f"--bind=fd://{number}", "--workers=1", "--threads=1"]
            command += ["--worker-class=gthread", "--keep-alive=60"]
            return [*command, "--log-level=critical", "--no-control-socket"]

        # A server doesn't trust what another one has cached before, and doesn't replace it.
        redis.Redis.from_url(self.environment["REDIS_URL"]).flushall()
        own = {"TIMING_CACHE": cache, "TIMING_LIMIT": limit, "TIMING_LEAK": str(leak)}
        environment = {**self.environment, **own}
        with served(environment, command) as port, closing(Client(port)) as client:
            # The first use is recorded, which changes the row. The second one is cached.
            for token in self.used * 2 if cache else ():
                _, response = client.send(USED.request(*token.split(":")))
                assert response.startswith(b"HTTP/1.1 200 "), response
            yield client


@contextmanager
def site(seed: int) -> Iterator[Site]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trust-timing-")))
        postgresql = PostgreSQL(folder)
        stack.callback(postgresql.stop)
        memory = Redis()
        stack.callback(memory.stop)
        # TLS would only add noise.
        database = f"postgres://site@127.0.0.1:{postgresql.port}/site?sslmode=disable"
        environment = {"DATABASE_URL": database, "REDIS_URL": memory.url}
        printed = subprocess.run(
            [sys.executable, "-m", "trust.timing.prepare", str(seed)],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        prepared: dict[str, Any] = json.loads(printed)
        yield Site(environment, prepared["api_keys"], prepared["used"])
