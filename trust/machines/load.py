"""Up to 300 requests a second with credentials that change all the time."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import deque
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from ..faults.load import PATIENCE, moments, send
from .truth import Change, Credential, History, history

RATE = 300  # requests per second
OUTSTANDING = 60  # requests without an answer that keep others from being sent
CHANGES = 4  # begun per second
KINDS = {"good": 70, "gone": 20, "wrong": 10}
KEPT = 3  # keys that each user keeps
OFF = 1  # seconds that a user is switched off

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request and its answer. Without an answer, ``status`` is 0. Moments are monotonic (s)."""

    credential: Credential
    began: float
    ended: float
    status: int
    retry_after: bool = False
    user: str = ""
    from_replica: bool | None = None
    # Whether it's one of the requests at all servers that follow a change.
    is_next: bool = False

    @property
    def expected(self) -> Change | None:
        return self.credential.expected(self.began, self.ended)

    @property
    def is_wrong(self) -> bool:
        """Whether it's another answer than that of a site where nothing fails."""
        right, refused = self.expected, self.status in (401, 429)
        if right is None:
            return not (self.status == 200 or refused)
        return self.status != 200 if right.is_good else not refused


@dataclass(eq=False, slots=True)
class Person:
    """A user, whose keys are changed one after another."""

    username: str
    history: History = field(default_factory=history)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True)
class Load:
    """Asks ``entrance``, and after each change all ``servers``, until it's stopped."""

    entrance: Address
    servers: Sequence[Address]
    tokens: dict[str, Any]
    rng: random.Random
    asked: list[Asked] = field(default_factory=list)
    # What was answered neither as wanted nor with 503.
    refused_changes: list[str] = field(default_factory=list)
    changes: int = 0
    everyone: list[Credential] = field(default_factory=list)
    _people: list[Person] = field(default_factory=list)
    _good: list[Credential] = field(default_factory=list)
    _gone: deque[Credential] = field(default_factory=lambda: deque(maxlen=60))
    _wrong: list[Credential] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _numbers: count[int] = field(default_factory=count)
    _stopped: bool = False

    def __post_init__(self) -> None:
        for username, tokens in self.tokens["people"].items():
            person = Person(username)
            self._people.append(person)
            for token in tokens:
                self._keep(Credential(token, username, history(), person.history))
        never = history("wrong", is_good=False)
        self._wrong = [Credential(token, "", never, history()) for token in self.tokens["wrong"]]

    async def run(self) -> None:
        changing = asyncio.create_task(self._run_changes())
        pools: dict[str, Sequence[Credential]] = {
            "good": self._good,
            "gone": self._gone,
            "wrong": self._wrong,
        }
        async for _ in moments(RATE, lambda: self._stopped):
            if len(self._tasks) >= OUTSTANDING:
                continue  # the machine is too busy for more
            (kind,) = self.rng.choices(list(KINDS), list(KINDS.values()))
            pool = pools[kind] or self._wrong
            self._begin(self.ask(self.rng.choice(pool), self.entrance))
        await changing

    async def stop(self) -> None:
        """Begin no more, and wait for the answers."""
        self._stopped = True
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def ask(
        self, credential: Credential, address: Address, *, is_next: bool = False
    ) -> Asked:
        """Send a request, and keep what came of it."""
        path, (host, port) = self.rng.choice(["/drf/", "/plain/"]), address
        status, retry_after, content = 0, False, {}
        began = time.monotonic()
        with suppress(OSError, EOFError, asyncio.TimeoutError):
            sending = send(port, "GET", path, credential.token, host=host)
            status, head, body = await asyncio.wait_for(sending, PATIENCE)
            retry_after = "\r\nretry-after: " in head
            content = json.loads(body) if status == 200 else {}
        user, from_replica = content.get("user", ""), content.get("from_replica")
        ended = time.monotonic()
        asked = Asked(credential, began, ended, status, retry_after, user, from_replica, is_next)
        self.asked.append(asked)
        return asked

    async def everywhere(self, *credentials: Credential) -> None:
        """Ask all servers at once."""
        await asyncio.gather(
            *(
                self.ask(credential, server, is_next=True)
                for credential in credentials
                for server in self.servers
            )
        )

    def _begin(self, coroutine: Coroutine[Any, Any, object]) -> None:
        async def run() -> None:
            await coroutine

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_changes(self) -> None:
        ways = {self._make: 35, self._rotate: 25, self._revoke: 25, self._switch: 15}
        async for _ in moments(CHANGES, lambda: self._stopped):
            free = [person for person in self._people if not person.lock.locked()]
            if free:
                (way,) = self.rng.choices(list(ways), list(ways.values()))
                self._begin(self._changed(way, self.rng.choice(free)))

    async def _changed(self, way: Any, person: Person) -> None:
        async with person.lock:
            await way(person)

    async def _make(self, person: Person) -> None:
        body = {"user": person.username, "name": f"new {next(self._numbers)}"}
        status, content = await self._call("POST", "/api/keys/", body)
        if status == 201:
            self.changes += 1
            await self.everywhere(self._got("made", content, person))
        elif status not in (0, 503):
            self.refused_changes.append(f"POST {status}")

    async def _rotate(self, person: Person) -> None:
        old = self._pick(person)
        change = old.key.begin("replaced", is_good=False)
        self._retire(old)
        content = await self._until_done("POST", f"{_address(old)}rotate/", 200, change)
        if content is not None:
            await self.everywhere(old, self._got("rotated", content, person))

    async def _revoke(self, person: Person) -> None:
        if len(self._of(person)) <= KEPT:
            await self._make(person)
            return
        credential = self._pick(person)
        change = credential.key.begin("revoked", is_good=False)
        self._retire(credential)
        if await self._until_done("DELETE", _address(credential), 204, change) is not None:
            await self.everywhere(credential)

    async def _switch(self, person: Person) -> None:
        path = f"/users/{person.username}/"
        for kind, is_active in (("switched off", False), ("switched on", True)):
            change = person.history.begin(kind, is_good=is_active)
            body = {"is_active": is_active}
            if await self._until_done("PATCH", path, 200, change, body) is not None:
                await self.everywhere(*self._of(person)[:2])
            await asyncio.sleep(OFF)

    async def _until_done(
        self, method: str, path: str, wanted: int, change: Change, body: Any = None
    ) -> Any:
        """Repeat a change until it's done. Return the content; None if it was refused."""
        while True:
            status, content = await self._call(method, path, body)
            if status == wanted:
                change.answered_at = time.monotonic()
                self.changes += 1
                return content
            if status not in (0, 503):
                self.refused_changes.append(f"{method} {status}")
                return None
            await asyncio.sleep(0.1)

    async def _call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        (host, port), token = self.entrance, self.tokens["manager"]
        text = json.dumps(body) if body is not None else ""
        with suppress(OSError, EOFError, asyncio.TimeoutError):
            sending = send(port, method, path, token, text, host=host)
            status, _head, content = await asyncio.wait_for(sending, PATIENCE)
            return status, json.loads(content) if status < 300 and content else {}
        return 0, {}

    def _got(self, kind: str, content: Any, person: Person) -> Credential:
        token = f"{content['api_key']}:{content['api_secret']}"
        key = history(kind, since=time.monotonic())
        return self._keep(Credential(token, person.username, key, person.history))

    def _keep(self, credential: Credential) -> Credential:
        self._good.append(credential)
        self.everyone.append(credential)
        return credential

    def _retire(self, credential: Credential) -> None:
        self._good.remove(credential)
        self._gone.append(credential)

    def _of(self, person: Person) -> list[Credential]:
        return [each for each in self._good if each.username == person.username]

    def _pick(self, person: Person) -> Credential:
        return self.rng.choice(self._of(person))


def _address(credential: Credential) -> str:
    return f"/api/keys/{credential.token.partition(':')[0]}/"
