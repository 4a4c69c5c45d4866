"""The site of the version before a migration, and the requests that it serves meanwhile."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.server import ROOT, served

from ..faults.load import send

# Threads, because on SQLite each write may wait for a migration.
THREADS = 24
PATIENCE = 120  # seconds that a client waits for an answer

# Seconds between two requests with a good secret, with a wrong one, and lives of a key.
GOOD_EVERY, WRONG_EVERY, LIFE_EVERY = 0.1, 2.0, 1.0

PACKAGE = "frappe_tokens"


@contextmanager
def version_before(step: str) -> Iterator[Path | None]:
    """Yield a folder with the app as it was before it had the migration; None for this one.

    Migrations that a next version might have are not known to this one.
    """
    file = f"{PACKAGE}/migrations/{step}.py"
    if not (ROOT / file).exists():
        yield None
        return
    log = ["git", "log", "-1", "--diff-filter=A", "--format=%H^", "--", file]
    # Not committed yet: the last commit is the version before.
    commit = _output(*log).decode().strip() or "HEAD"
    with tempfile.TemporaryDirectory(prefix="trust-upgrades-") as folder:
        archive = _output("git", "archive", "--format=tar", commit, PACKAGE)
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        yield Path(folder)


def _output(*command: str) -> bytes:
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout


@contextmanager
def site(environment: Mapping[str, str], folder: Path | None) -> Iterator[int]:
    """Serve the version in ``folder``. Yield the port, once it answers."""

    def command(number: int) -> list[str]:
        command = [sys.executable, "-m", "gunicorn", "trust.upgrades.wsgi:application"]
        command += [f"--bind=fd://{number}", "--workers=1", f"--threads={THREADS}"]
        command += ["--worker-class=gthread", "--log-level=critical", "--no-control-socket"]
        return command

    version = {"UPGRADES_VERSION": str(folder or "")}
    with served({**environment, **version}, command) as port:
        status, *_ = asyncio.run(send(port, "GET", "/pid/"))
        assert status == 200
        yield port


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client asked and got; ``status`` is 0 without an answer."""

    kind: str
    asked_at: float
    seconds: float
    status: int
    wanted: int
    retry_after: bool

    @property
    def is_right(self) -> bool:
        return self.status == self.wanted

    @property
    def is_away(self) -> bool:
        """Whether the client was asked to come again."""
        return self.status == 503 and self.retry_after


@dataclass(slots=True)
class Load:
    """Sends requests to the site, each on time, and collects the answers."""

    port: int
    tokens: Mapping[str, list[str]]
    answers: list[Answer] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _stopped: bool = False
    _lives: int = 0

    async def run(self) -> None:
        await asyncio.gather(
            self._every(GOOD_EVERY, self._good),
            self._every(WRONG_EVERY, self._wrong),
            self._every(LIFE_EVERY, self._life),
        )

    async def stop(self) -> None:
        """Begin no more, and wait for the answers."""
        self._stopped = True
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def settle(self) -> None:
        """Wait for the answers to the requests so far."""
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    async def _every(self, seconds: float, begin: object) -> None:
        began, number = time.monotonic(), 0
        while not self._stopped:
            number += 1
            task = asyncio.create_task(begin())  # type: ignore[operator]
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(max(0.0, began + number * seconds - time.monotonic()))

    async def _good(self) -> None:
        await self._ask("authenticate", random.choice(self.tokens["good"]), 200)

    async def _wrong(self) -> None:
        await self._ask("wrong secret", self.tokens["wrong"][0], 401)

    async def _life(self) -> None:
        """Generate a key, use it, rotate it, revoke it, and see that it's refused."""
        self._lives += 1
        (manager,) = self.tokens["manager"]
        body = json.dumps({"name": f"life {self._lives} {time.time_ns()}"})
        made = await self._ask("generate", manager, 201, "POST", "/api/keys/", body)
        if made is None:
            return
        api_key = made["api_key"]
        await self._ask("new key", f"{api_key}:{made['api_secret']}", 200)
        path = f"/api/keys/{api_key}/"
        rotated = await self._ask("rotate", manager, 200, "POST", f"{path}rotate/", "{}")
        secret = (rotated or made)["api_secret"]
        if await self._ask("revoke", manager, 204, "DELETE", path) is not None:
            await self._ask("revoked key", f"{api_key}:{secret}", 401)

    async def _ask(
        self,
        kind: str,
        token: str,
        wanted: int,
        method: str = "GET",
        path: str = "/drf/",
        body: str = "",
    ) -> dict[str, str] | None:
        """Return the answer's body, or None if it isn't the wanted one."""
        status, head, content, asked_at = 0, "", b"", time.monotonic()
        with suppress(OSError, EOFError, asyncio.TimeoutError):
            status, head, content = await asyncio.wait_for(
                send(self.port, method, path, token, body), PATIENCE
            )
        seconds = time.monotonic() - asked_at
        retry_after = "\r\nretry-after: " in head
        self.answers.append(Answer(kind, asked_at, seconds, status, wanted, retry_after))
        if status != wanted:
            return None
        found: dict[str, str] = json.loads(content or b"{}")
        return found
