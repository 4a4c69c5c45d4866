"""Runs ``migrate`` as the command does, and says what it did."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from django.core.management import call_command
from django.db import DatabaseError, Error, connection, connections
from django.db.migrations.executor import MigrationExecutor

from . import APP, BASE
from .watching import Locks


@dataclass(slots=True)
class Migrated:
    """A run of ``migrate``: when (s, monotonic), which locks it held (s), and its error."""

    began: float = 0.0
    ended: float = 0.0
    locks: dict[tuple[str, str], float] = field(default_factory=dict)
    error: str = ""

    @property
    def seconds(self) -> float:
        return self.ended - self.began


class Interruption:
    """Ends the connection of a migration, a while after a statement that begins like this."""

    def __init__(self, statement: str, after: float) -> None:
        self._statement, self._after = statement, after
        self._seen, self._ended = Event(), Event()
        self._end: Callable[[], None] = lambda: None

    def wait_and_end(self) -> None:
        """Run in another thread than the migration."""
        try:
            if self._seen.wait(60):
                time.sleep(self._after)
                while not self._ended.is_set():
                    self._end()
                    self._ended.wait(0.2)
        finally:
            connections.close_all()

    @contextmanager
    def watching(self) -> Iterator[None]:
        match connection.vendor:
            case "postgresql":
                pid = _number("SELECT pg_backend_pid()")
                self._end = lambda: _execute(f"SELECT pg_terminate_backend({pid})")
            case "mysql":
                pid = _number("SELECT CONNECTION_ID()")
                self._end = lambda: _kill(pid)
            case _:
                connection.ensure_connection()
                self._end = connection.connection.interrupt

        def execute(call: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if sql.startswith(self._statement):
                self._seen.set()
            return call(sql, params, many, context)

        try:
            with connection.execute_wrapper(execute):
                yield
        finally:
            self._ended.set()


def migrate(
    target: str,
    tables: tuple[str, ...] = (),
    *,
    setting: str = "",
    interruption: Interruption | None = None,
) -> Migrated:
    """Migrate the app to ``target``, in a thread without a connection so far.

    Args:
        target: the name of a migration, or "zero".
        tables: whose locks to watch.
        setting: a statement for the session, such as a limit for waiting.
        interruption: what ends the connection.
    """
    done = Migrated()
    try:
        if setting:
            _execute(setting)
        with interruption.watching() if interruption else nullcontext(), _locks(tables) as held:
            done.began = time.monotonic()
            try:
                call_command("migrate", APP, target, verbosity=0, skip_checks=False)
            except Error as error:
                done.error = str(error).partition("\n")[0]
            done.ended = time.monotonic()
        done.locks = held
    finally:
        connections.close_all()
    return done


@contextmanager
def _locks(tables: tuple[str, ...]) -> Iterator[dict[tuple[str, str], float]]:
    if connection.vendor != "postgresql" or not tables:
        yield {}
        return
    locks = Locks(_number("SELECT pg_backend_pid()"), tables)

    def execute(call: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        result = call(sql, params, many, context)
        if connection.in_atomic_block:
            locks.sample()
        return result

    with locks.sampling(), connection.execute_wrapper(execute):
        yield locks.held


def steps() -> list[str]:
    """Return the names of the migrations after ``BASE``, in order."""
    graph = MigrationExecutor(connection).loader.graph
    (leaf,) = graph.leaf_nodes(APP)
    known = set(graph.forwards_plan((APP, BASE)))
    plan = graph.forwards_plan(leaf)
    return [name for app, name in plan if app == APP and (app, name) not in known]


def models_at(name: str) -> Any:
    """Return the models as that migration leaves them."""
    return MigrationExecutor(connection).loader.project_state((APP, name)).apps


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def _number(sql: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return int(cursor.fetchone()[0])


def _kill(number: int) -> None:
    # It may have ended.
    with suppress(DatabaseError):
        _execute(f"KILL {number}")
