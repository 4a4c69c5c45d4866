"""Upgrades a full database step by step, and downgrades it again, under load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from django.db import connection, connections, transaction

from . import BASE
from .contents import Contents, contents, schema
from .migrating import Interruption, Migrated, migrate, models_at, steps
from .site import Answer, Load, site, version_before
from .watching import Waits

TABLES = ("frappe_tokens_apikey", "frappe_tokens_apirequestlog")

# Seconds: without a migration, between two of them, and for what comes after one.
IDLE, PAUSE = 5.0, 0.5
# For which another connection holds a lock, and for which a migration waits for it.
HELD, LIMIT = 5.0, 1.0
LIMITS = {
    "postgresql": "SET lock_timeout = '1s'",
    "mysql": "SET SESSION lock_wait_timeout = 1",
}
# Long steps are interrupted once, while they run such a statement.
INTERRUPTED = {"next_5_log_index": "CREATE INDEX", "next_8_key_fill": "UPDATE"}
INTERRUPTED_AFTER = 1.5  # s


@dataclass(slots=True)
class Step:
    """A migration, forwards or backwards, and what others saw of it (seconds)."""

    name: str
    forwards: bool
    seconds: float
    locks: dict[str, float]
    read: float
    write: float
    requests: int
    longest: float
    away: int


@dataclass(slots=True)
class Trial:
    """An upgrade and a downgrade of the database of this process.

    Attributes:
        environment: for the site, whose database it is.
        quick: leave out what takes long.
    """

    environment: Mapping[str, str]
    tokens: Mapping[str, list[str]]
    quick: bool
    steps: list[Step] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    idle_longest: float = 0.0
    # The longest request while a migration waited for a lock: with a limit, and without.
    limited: float | None = None
    unlimited: float | None = None
    unchanged_by_limited: bool = True
    interrupted: list[str] = field(default_factory=list)

    def run(self) -> None:
        names = steps()
        for name, group in _by_version(names):
            self._serve(name, group, names, forwards=True)
        for name, group in _by_version(names[::-1]):
            self._serve(name, group, names, forwards=False)

    def _serve(self, name: str, group: list[str], names: list[str], *, forwards: bool) -> None:
        with version_before(name) as folder, site(self.environment, folder) as port:
            load, waits = Load(port, self.tokens), Waits(TABLES)
            with waits.asking():
                asyncio.run(self._under_load(load, waits, group, names, forwards))
        self.answers += load.answers

    async def _under_load(
        self, load: Load, waits: Waits, group: Sequence[str], names: list[str], forwards: bool
    ) -> None:
        sending = asyncio.create_task(load.run())
        began = time.monotonic()
        await asyncio.sleep(IDLE)
        await load.settle()
        idle = max(each.seconds for each in load.answers if each.asked_at >= began)
        self.idle_longest = max(self.idle_longest, idle)
        for name in group:
            before = [BASE, *names][names.index(name)]
            if forwards and name == names[0] and connection.vendor in LIMITS:
                await self._wait_for_a_lock(load, name)
            if forwards and not self.quick and name in INTERRUPTED:
                await self._interrupt(name, before)
            done = await asyncio.to_thread(migrate, name if forwards else before, TABLES)
            if done.error:
                raise RuntimeError(
                    f"{name}, {'forwards' if forwards else 'backwards'}: {done.error}"
                )
            await asyncio.sleep(PAUSE)
            await load.settle()
            self.steps.append(_step(name, forwards, done, load.answers, waits))
            print(f"  {self.steps[-1]}", flush=True)
        await load.stop()
        await sending

    async def _wait_for_a_lock(self, load: Load, name: str) -> None:
        """Migrate while another connection reads in a transaction: with a limit, and without."""
        before = await asyncio.to_thread(_schema)
        done, self.limited = await _migrate_while_held(load, name, LIMITS[connection.vendor])
        after = await asyncio.to_thread(_schema)
        self.unchanged_by_limited = bool(done.error) and after == before
        if not self.quick:
            _, self.unlimited = await _migrate_while_held(load, name, "")
            await asyncio.to_thread(migrate, BASE)

    async def _interrupt(self, name: str, before: str) -> None:
        interruption = Interruption(INTERRUPTED[name], INTERRUPTED_AFTER)
        ending = asyncio.create_task(asyncio.to_thread(interruption.wait_and_end))
        done = await asyncio.to_thread(migrate, name, interruption=interruption)
        await ending
        if done.error:
            self.interrupted.append(f"{name}: {done.error}")
        else:  # it was too short
            await asyncio.to_thread(migrate, before)


async def _migrate_while_held(load: Load, name: str, setting: str) -> tuple[Migrated, float]:
    """Return what ``migrate`` did, and the longest request meanwhile."""
    began = time.monotonic()
    holding = asyncio.create_task(asyncio.to_thread(_hold))
    await asyncio.sleep(PAUSE / 2)
    done = await asyncio.to_thread(migrate, name, setting=setting)
    await holding
    await load.settle()
    return done, max(each.seconds for each in load.answers if each.asked_at >= began)


def _hold() -> None:
    """Read in a transaction, as a backup or a report does."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            for table in TABLES:
                cursor.execute(f"SELECT 1 FROM {table} LIMIT 1")
                cursor.fetchall()
            time.sleep(HELD)
    finally:
        connections.close_all()


def _schema() -> dict[str, Any]:
    try:
        return schema(*TABLES)
    finally:
        connections.close_all()


def _by_version(names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield steps that the same version is before. Those of a next version are unknown to this."""
    for key, group in groupby(names, lambda name: "" if name.startswith("next_") else name):
        found = list(group)
        yield key or found[0], found


def _step(name: str, forwards: bool, done: Migrated, answers: list[Answer], waits: Waits) -> Step:
    until = done.ended + PAUSE
    seen = [a for a in answers if a.asked_at <= until and a.asked_at + a.seconds >= done.began]
    return Step(
        name,
        forwards,
        done.seconds,
        {f"{table} {mode}": seconds for (table, mode), seconds in done.locks.items()},
        waits.longest("read", done.began - PAUSE, done.ended),
        waits.longest("write", done.began - PAUSE, done.ended),
        len(seen),
        max(answer.seconds for answer in seen),
        sum(answer.is_away for answer in seen),
    )


def algorithms() -> dict[str, str]:
    """Return how MariaDB changes the tables, by step and direction: with the least that it takes.

    Each is tried on empty tables, because it refuses what can't be done that way.
    """
    names, found = steps(), {}
    targets = [(name, name, "forwards") for name in names]
    befores = [BASE, *names]
    targets += [(name, befores[names.index(name)], "backwards") for name in names[::-1]]
    for name, target, direction in targets:
        for algorithm in ("INSTANT", "NOCOPY", "INPLACE", "COPY"):
            done = migrate(target, setting=f"SET SESSION alter_algorithm = '{algorithm}'")
            if not done.error:
                found[f"{name} {direction}"] = algorithm
                break
        else:
            raise RuntimeError(f"{name}: {done.error}")
    return found


def models() -> tuple[Any, Any]:
    """Return the models of keys and of the log, of the version before."""
    apps = models_at(BASE)
    return apps.get_model("frappe_tokens", "ApiKey"), apps.get_model(
        "frappe_tokens", "ApiRequestLog"
    )


def last_ids() -> list[int]:
    """Return the last primary key of each table."""
    return [model._default_manager.order_by("-pk")[0].pk for model in models()]


def all_contents(last: Sequence[int]) -> list[Contents]:
    return [contents(model, pk) for model, pk in zip(models(), last, strict=True)]
