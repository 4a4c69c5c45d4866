"""Sees from other connections which locks a migration holds, and how long others wait."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread
from typing import Any

from django.db import connection, connections

ASK_EVERY = 0.05  # s
SAMPLE_EVERY = 0.01  # s

# The weaker ones are those of a SELECT.
STRONG = (
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)


class Waits:
    """How long a read and a write of each table take, asked every 50 ms by two threads."""

    def __init__(self, tables: tuple[str, ...]) -> None:
        self._tables = tables
        self._asked: dict[str, list[tuple[float, float]]] = {"read": [], "write": []}

    def longest(self, kind: str, since: float, until: float) -> float:
        """Return the longest in seconds, of those that began in that time (s, monotonic)."""
        return max((took for at, took in self._asked[kind] if since <= at <= until), default=0.0)

    @contextmanager
    def asking(self) -> Iterator[None]:
        stop = Event()
        threads = [Thread(target=self._ask, args=(kind, stop)) for kind in self._asked]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _ask(self, kind: str, stop: Event) -> None:
        # The UPDATE finds no row, but takes the table's lock.
        sql = {"read": "SELECT id FROM {} LIMIT 1", "write": "UPDATE {} SET id = id WHERE id = -1"}
        try:
            with connection.cursor() as cursor:
                if connection.vendor == "sqlite":
                    cursor.execute("PRAGMA busy_timeout = 3600000")
                while not stop.wait(ASK_EVERY):
                    for table in self._tables:
                        began = time.monotonic()
                        cursor.execute(sql[kind].format(connection.ops.quote_name(table)))
                        self._asked[kind].append((began, time.monotonic() - began))
        finally:
            connections.close_all()


class Locks:
    """The locks of one PostgreSQL connection on these tables, and for how long it holds them.

    Sampled every 10 ms, and by :meth:`sample` after each statement of a transaction. A lock counts
    from the sample before the first that has it to the one after the last, so these are bounds.
    """

    def __init__(self, pid: int, tables: tuple[str, ...]) -> None:
        self._pid, self._tables = pid, tables
        self._lock = Lock()
        self._connection: Any = connection.copy()
        self._last = time.monotonic()
        self._since: dict[tuple[str, str], float] = {}
        self.held: dict[tuple[str, str], float] = {}

    @contextmanager
    def sampling(self) -> Iterator[None]:
        stop = Event()

        def sample() -> None:
            while not stop.wait(SAMPLE_EVERY):
                self.sample()

        self._connection.inc_thread_sharing()
        thread = Thread(target=sample)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.sample()
            self._connection.close()

    def sample(self) -> None:
        with self._lock, self._connection.cursor() as cursor:
            cursor.execute(
                "SELECT relname, mode FROM pg_locks JOIN pg_class ON pg_class.oid = relation "
                "WHERE locktype = 'relation' AND granted AND pid = %s "
                "AND relname = ANY(%s) AND mode = ANY(%s)",
                [self._pid, list(self._tables), list(STRONG)],
            )
            seen, now = set(cursor.fetchall()), time.monotonic()
            for lock in [lock for lock in self._since if lock not in seen]:
                self.held[lock] = self.held.get(lock, 0.0) + now - self._since.pop(lock)
            for lock in seen:
                self._since.setdefault(lock, self._last)
            self._last = now
