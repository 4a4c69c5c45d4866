"""Time limits for statements that a page or a request doesn't depend on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

LOCK_SECONDS = 1
READ_SECONDS = 5


@contextmanager
def statement_timeout(alias: str) -> Iterator[None]:
    """Limit how long statements may take on the database ``alias``.

    Raises:
        django.db.DatabaseError: a lock was held, or a statement took too long, or there is no such
            table. The caller's transaction continues.
    """
    connection = connections[alias]
    bound = _BOUNDS.get(connection.vendor, nullcontext)
    # On SQLite, an unneeded transaction could wait for a writer.
    needed = connection.in_atomic_block or connection.vendor == "postgresql"
    with transaction.atomic(using=alias) if needed else nullcontext(), bound(connection):
        yield


@contextmanager
def _bound_postgresql(connection: BaseDatabaseWrapper) -> Iterator[None]:
    change = (
        "SELECT set_config('lock_timeout', %s, true), set_config('statement_timeout', %s, true)"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')"
        )
        before = cursor.fetchone()
        cursor.execute(change, [f"{LOCK_SECONDS}s", f"{READ_SECONDS}s"])
        yield
        # After an error, the end of the transaction or savepoint restores them.
        cursor.execute(change, before)


@contextmanager
def _bound_mysql(connection: Any) -> Iterator[None]:
    longest, unit = (
        ("max_statement_time", 1) if connection.mysql_is_mariadb else ("max_execution_time", 1000)
    )
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT @@lock_wait_timeout, @@{longest}")
        before = cursor.fetchone()
        change = f"SET SESSION lock_wait_timeout = %s, SESSION {longest} = %s"
        cursor.execute(change, [LOCK_SECONDS, READ_SECONDS * unit])
        try:
            yield
        finally:
            cursor.execute(change, before)


@contextmanager
def _bound_sqlite(
    connection: BaseDatabaseWrapper, lock_seconds: int = LOCK_SECONDS
) -> Iterator[None]:
    connection.ensure_connection()
    # Not by a cursor of Django's, which would count them as queries.
    execute = connection.connection.execute
    (before,) = execute("PRAGMA busy_timeout").fetchone()
    execute(f"PRAGMA busy_timeout = {lock_seconds * 1000}")
    try:
        yield
    finally:
        execute(f"PRAGMA busy_timeout = {before}")


_BOUNDS: dict[str, Callable[[BaseDatabaseWrapper], AbstractContextManager[None]]] = {
    "postgresql": _bound_postgresql,
    "mysql": _bound_mysql,
    "sqlite": _bound_sqlite,
}


def execute_insert(
    connection: Any, sql: str, params: Sequence[object], lock_seconds: int = LOCK_SECONDS
) -> None:
    """Execute an INSERT, and limit how long it waits for locks, without another round trip.

    In a transaction there is no limit, because it would also apply to the rest of it.

    Raises:
        django.db.DatabaseError: nothing was written.
    """
    sql, values, bound = _limited(connection, sql, params, lock_seconds)
    with bound, connection.cursor() as cursor:
        cursor.execute(sql, values)


@contextmanager
def short_locks(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Limit how long each UPDATE waits for locks, like :func:`execute_insert`."""

    def execute(
        inner: Callable[..., object],
        sql: str,
        params: Sequence[object],
        many: bool,
        context: dict[str, object],
    ) -> object:
        # For a model with several tables, Django reads the rows first.
        if not sql.startswith("UPDATE"):
            return inner(sql, params, many, context)
        sql, values, bound = _limited(connection, sql, params, LOCK_SECONDS)
        with bound:
            return inner(sql, values, many, context)

    with connection.execute_wrapper(execute):
        yield


def _limited(
    connection: Any, sql: str, params: Sequence[object], lock_seconds: int
) -> tuple[str, Sequence[object] | None, AbstractContextManager[None]]:
    """Return the statement with a limit, its parameters, and what to execute it in."""
    vendor = None if connection.in_atomic_block else connection.vendor
    bound: AbstractContextManager[None] = nullcontext()
    values: Sequence[object] | None = params
    if vendor == "postgresql":
        # Two statements in one string are one transaction, and one round trip.
        sql = f"SET LOCAL lock_timeout = '{lock_seconds}s'; {sql}"
        if connection.settings_dict["OPTIONS"].get("server_side_binding"):
            # The server binds parameters only if there is one statement.
            sql, values = connection.ops.compose_sql(sql, params), None
    elif vendor == "mysql" and connection.mysql_is_mariadb:
        limits = f"lock_wait_timeout={lock_seconds}, innodb_lock_wait_timeout={lock_seconds}"
        sql = f"SET STATEMENT {limits} FOR {sql}"
    elif vendor == "mysql":
        # InnoDB's own can't be set for one statement, and the session's is the project's.
        verb, _, rest = sql.partition(" ")
        sql = f"{verb} /*+ SET_VAR(lock_wait_timeout={lock_seconds}) */ {rest}"
    elif vendor == "sqlite":
        bound = _bound_sqlite(connection, lock_seconds)
    return sql, values, bound
