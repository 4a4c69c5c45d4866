"""Two hundred requests a second, each begun on time however slow the answers are."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

RATE = 200  # requests per second
PATIENCE = 60  # seconds that a client waits for an answer

# How many of a hundred requests are of each kind.
MIX = {"good": 60, "write": 5, "wrong": 15, "revoked": 12, "unknown": 5, "victim": 3}
GOOD = {"good", "write"}


@dataclass(frozen=True, slots=True)
class Site:
    """A server at ``port``, and whether it caches keys."""

    port: int
    cached: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got, and when it asked (s, monotonic). Without an answer, ``status`` is 0."""

    kind: str
    cached: bool
    asked_at: float
    seconds: float
    status: int
    has_retry_after: bool = False
    user: str = ""

    @property
    def answered_at(self) -> float:
        return self.asked_at + self.seconds

    @property
    def is_full_service(self) -> bool:
        """Whether it's what a site without a fault answers. How soon depends on the machine."""
        if self.kind == "victim":  # whether it is still good is checked elsewhere
            return self.status in (200, 401)
        return self.status in ((200,) if self.kind in GOOD else (401, 429))


async def send(
    port: int, method: str, path: str, token: str = "", body: str = "", *, host: str = "127.0.0.1"
) -> tuple[int, str, bytes]:
    """Return the status, the headers in lower case, and the body; raise OSError or EOFError."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close"]
        lines += [f"Authorization: token {token}"] if token else []
        lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"] if body else []
        writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        await writer.drain()
        head, _, content = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    if not head:
        raise EOFError
    return int(head.split(b" ", 2)[1]), head.decode("latin-1").lower(), content


async def moments(rate: float, is_over: Callable[[], bool]) -> AsyncIterator[None]:
    """Yield ``rate`` times a second. What couldn't be on time is made up for."""
    began, number = time.monotonic(), 0
    while not is_over():
        number += 1
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        yield


@dataclass(slots=True)
class Load:
    """Sends requests to ``sites`` until it's stopped, and collects the answers."""

    sites: Sequence[Site]
    tokens: dict[str, list[str]]
    victim: str
    rng: random.Random
    answers: list[Answer] = field(default_factory=list)
    victim_revoked_at: float = float("inf")
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _stopped: bool = False

    async def run(self) -> None:
        kinds, weights = list(MIX), list(MIX.values())
        async for _ in moments(RATE, lambda: self._stopped):
            (kind,) = self.rng.choices(kinds, weights)
            task = asyncio.create_task(self._ask(self.rng.choice(self.sites), kind))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Begin no more, and wait for the answers."""
        self._stopped = True
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def revoke_victim(self) -> None:
        """Revoke a key that is in use, by the site that knows the cache, until it says so."""
        site = next((site for site in self.sites if site.cached), self.sites[0])
        (manager,), api_key = self.tokens["manager"], self.victim.partition(":")[0]
        while not self._stopped:
            with suppress(OSError, EOFError, asyncio.TimeoutError):
                status, *_ = await asyncio.wait_for(
                    send(site.port, "DELETE", f"/api/keys/{api_key}/", manager), PATIENCE
                )
                if status == 204:
                    self.victim_revoked_at = time.monotonic()
                    return
            await asyncio.sleep(0.1)

    async def _ask(self, site: Site, kind: str) -> None:
        method, path, body = "GET", self.rng.choice(["/drf/", "/plain/"]), ""
        token = self.victim if kind == "victim" else ""
        if kind == "write":
            (token,), (target,) = self.tokens["manager"], self.tokens["target"]
            text = json.dumps({"description": str(self.rng.random())})
            method, path, body = "PATCH", f"/api/keys/{target}/", text
        token = token or self.rng.choice(self.tokens[kind])
        status, retry, user, asked_at = 0, False, "", time.monotonic()
        with suppress(OSError, EOFError, asyncio.TimeoutError):
            status, head, content = await asyncio.wait_for(
                send(site.port, method, path, token, body), PATIENCE
            )
            retry = "\r\nretry-after: " in head
            user = str(json.loads(content).get("user", "")) if status == 200 else ""
        seconds = time.monotonic() - asked_at
        self.answers.append(Answer(kind, site.cached, asked_at, seconds, status, retry, user))
