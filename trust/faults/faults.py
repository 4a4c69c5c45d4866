"""What fails, from the beginning of a block to its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from .certificates import DAY
from .ground import Ground
from .load import send
from .servers import EXPIRED, PostgreSQL, Redis


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault.

    Attributes:
        occurs: the block.
        is_away: whether nobody can reach the database.
        ends_workers: whether requests may end without an answer.
    """

    name: str
    occurs: Callable[[Ground], AbstractAsyncContextManager[None]]
    is_away: bool = False
    ends_workers: bool = False


def _postgresql(ground: Ground) -> PostgreSQL:
    assert ground.postgresql is not None
    return ground.postgresql


def _redis(ground: Ground) -> Redis:
    assert ground.redis is not None
    return ground.redis


@asynccontextmanager
async def _between(begin: Callable[[], object], end: Callable[[], object]) -> AsyncIterator[None]:
    await asyncio.to_thread(begin)
    try:
        yield
    finally:
        await asyncio.to_thread(end)


@asynccontextmanager
async def _repeated(action: Callable[[], object], seconds: float) -> AsyncIterator[None]:
    ended = asyncio.Event()

    async def repeat() -> None:
        while not ended.is_set():
            await asyncio.to_thread(action)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(ended.wait(), seconds)

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        ended.set()
        await task


def _database_stopped(ground: Ground) -> AbstractAsyncContextManager[None]:
    postgresql = _postgresql(ground)
    return _between(postgresql.stop, postgresql.start)


def _connections_killed(ground: Ground) -> AbstractAsyncContextManager[None]:
    return _repeated(_postgresql(ground).end_connections, 0.5)


def _too_many_connections(ground: Ground) -> AbstractAsyncContextManager[None]:
    """The server refuses another one of the site with the same code as where none is left."""
    postgresql = _postgresql(ground)

    def limit() -> None:
        postgresql.execute("ALTER ROLE site CONNECTION LIMIT 0")
        postgresql.end_all_connections()

    return _between(
        limit,
        lambda: postgresql.execute("ALTER ROLE site CONNECTION LIMIT -1"),
    )


def _read_only(ground: Ground) -> AbstractAsyncContextManager[None]:
    postgresql = _postgresql(ground)

    def switch(change: str) -> None:
        postgresql.execute(f"ALTER SYSTEM {change}")
        postgresql.execute("SELECT pg_reload_conf()")

    return _between(
        lambda: switch("SET default_transaction_read_only = on"),
        lambda: switch("RESET default_transaction_read_only"),
    )


def _locked(statement: str) -> Callable[[Ground], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lock(ground: Ground) -> AsyncIterator[None]:
        connection: Any = await asyncio.to_thread(_postgresql(ground).connect)
        with connection, connection.transaction():
            await asyncio.to_thread(connection.execute, statement)
            yield

    return lock


def _certificate_expired(ground: Ground) -> AbstractAsyncContextManager[None]:
    replace = _postgresql(ground).replace_certificate
    return _between(lambda: replace(EXPIRED), lambda: replace(DAY))


def _redis_stopped(ground: Ground) -> AbstractAsyncContextManager[None]:
    return _between(_redis(ground).stop, _redis(ground).start)


def _redis_hangs(ground: Ground) -> AbstractAsyncContextManager[None]:
    return _between(_redis(ground).hang, _redis(ground).go_on)


@asynccontextmanager
async def _workers_killed(ground: Ground) -> AsyncIterator[None]:
    """One of each site, again and again."""

    async def kill() -> None:
        for site in ground.sites:
            with suppress(OSError, EOFError, ProcessLookupError):
                *_, content = await send(site.port, "GET", "/pid/")
                os.kill(json.loads(content)["pid"], signal.SIGKILL)

    loop = asyncio.get_running_loop()
    wait = lambda: asyncio.run_coroutine_threadsafe(kill(), loop).result()  # noqa: E731
    async with _repeated(wait, 5):
        yield


def _clock_set(offset: str) -> Callable[[Ground], AbstractAsyncContextManager[None]]:
    def occurs(ground: Ground) -> AbstractAsyncContextManager[None]:
        clock = ground.clock
        assert clock is not None
        return _between(lambda: clock.write_text(offset), lambda: clock.write_text("0"))

    return occurs


def _disk_full(ground: Ground) -> AbstractAsyncContextManager[None]:
    assert ground.disk is not None
    filler = ground.disk / "filler"

    def fill() -> None:
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            for size in (1 << 16, 1 << 12, 1):
                with suppress(OSError):
                    while True:
                        file.write(bytes(size))

    return _between(fill, filler.unlink)


KEYS = "frappe_tokens_apikey"

ON_POSTGRESQL: Iterable[Fault] = (
    Fault("database stopped", _database_stopped, is_away=True),
    Fault("connections killed, twice a second", _connections_killed),
    Fault("too many connections", _too_many_connections, is_away=True),
    Fault("database read-only", _read_only),
    Fault("table of keys locked", _locked(f"LOCK TABLE {KEYS} IN ACCESS EXCLUSIVE MODE")),
    Fault("rows of keys locked", _locked(f"SELECT FROM {KEYS} FOR UPDATE")),
    Fault("certificate of the database expired", _certificate_expired, is_away=True),
    Fault("Redis stopped", _redis_stopped),
    Fault("Redis so slow that it answers nothing", _redis_hangs),
    Fault("a worker of each site killed, every five seconds", _workers_killed, ends_workers=True),
)
WITH_A_CLOCK: Iterable[Fault] = (
    Fault("clock an hour ahead, then back", _clock_set("3600")),
    Fault("clock an hour behind, then forth", _clock_set("-3600")),
)
ON_SQLITE: Iterable[Fault] = (Fault("disk full (SQLite)", _disk_full),)
