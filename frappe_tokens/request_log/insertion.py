"""Writing entries into the table: one INSERT, put together once, that waits for no lock for long.

Through the ORM an entry costs several times as much, and all of it at every request.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from django.db import connections, models, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from ..models import ApiRequestLog
from .entries import Entry

# How long an INSERT waits for somebody who holds a lock on the table.
LOCK_SECONDS = 1

_AT, _USER, _IP = (Entry._fields.index(name) for name in ("at", "user_id", "ip"))


def insert(entries: Sequence[Entry], *, commit: bool = False) -> None:
    """Write ``entries`` into the table of :class:`~frappe_tokens.models.ApiRequestLog`, or none.

    Args:
        entries: at least one.
        commit: also where the project has switched Django's autocommit off.

    Raises:
        django.db.DatabaseError: they are not written; the caller's transaction goes on.
    """
    connection = connections[router.db_for_write(ApiRequestLog)]
    statement = _statement(connection)
    if commit and not connection.get_autocommit():
        connection.set_autocommit(True)
    if not connection.get_autocommit():
        # A failure must not end the transaction of whoever called.
        with transaction.atomic(using=connection.alias):
            statement.execute(connection, entries)
    else:
        statement.execute(connection, entries)


def try_out(entry: Entry) -> None:
    """Write ``entry``, and take it back at once: whether the table can be written at all.

    Raises:
        django.db.DatabaseError: it cannot; the caller's transaction goes on.
    """
    connection = connections[router.db_for_write(ApiRequestLog)]
    with transaction.atomic(using=connection.alias):
        _statement(connection).execute(connection, [entry], is_taken_back=True)
        transaction.set_rollback(True, using=connection.alias)


class _Insert:
    """The statement for one database and kind of connection."""

    def __init__(self, connection: Any) -> None:
        """Put it together.

        Args:
            connection: one that no thread uses, as some fields hold on to it.
        """
        meta = ApiRequestLog._meta
        fields: list[Any] = [meta.get_field(_field_name(name)) for name in Entry._fields]
        quote = connection.ops.quote_name
        columns = ", ".join(quote(field.column) for field in fields)
        self._into = f" INTO {quote(meta.db_table)} ({columns}) "
        self._row = f"({', '.join(['%s'] * len(fields))})"
        self._select = _select_from_json(fields, connection)
        self._user, self._ip = fields[_USER], fields[_IP]

    def execute(
        self,
        connection: BaseDatabaseWrapper,
        entries: Sequence[Entry],
        *,
        is_taken_back: bool = False,
    ) -> None:
        rows = self._rows_of(entries, connection)
        impatiently = _impatiently(connection, is_taken_back=is_taken_back)
        with impatiently as insert, connection.cursor() as cursor:
            if self._select and len(rows) > 1:
                # As one parameter, as one for each value takes five times as long on PostgreSQL;
                # and SQLite takes Python's lock once, where executemany() asks for it at each row.
                json_of_rows = json.dumps(rows, default=_text)
                cursor.execute(f"{insert}{self._into}{self._select}", [json_of_rows])
            else:
                values = ", ".join([self._row] * len(rows))
                parameters = [value for row in rows for value in row]
                cursor.execute(f"{insert}{self._into}VALUES {values}", parameters)

    def _rows_of(
        self, entries: Sequence[Entry], connection: BaseDatabaseWrapper
    ) -> list[list[object]]:
        """What the driver takes for ``entries``. Text and numbers it takes as they are."""
        adapted = connection.ops.adapt_datetimefield_value
        users, ips = _Prepared(self._user, connection), _Prepared(self._ip, connection)
        rows: list[list[object]] = []
        for entry in entries:
            row: list[object] = list(entry)
            row[_AT] = adapted(entry.at)
            row[_USER] = users[entry.user_id]
            row[_IP] = ips[entry.ip]
            rows.append(row)
        return rows


class _Prepared(dict[object, object]):
    """What a field makes of a value for the database.

    It takes longer for it than the driver for a row, and the same few values come again and again.
    """

    def __init__(self, field: Any, connection: BaseDatabaseWrapper) -> None:
        self._prepare = field.get_db_prep_save
        self._connection = connection

    def __missing__(self, value: object) -> object:
        self[value] = prepared = self._prepare(value, self._connection)
        return prepared


def _field_name(attribute: str) -> str:
    return "user" if attribute == "user_id" else attribute


def _select_from_json(fields: Sequence[object], connection: BaseDatabaseWrapper) -> str:
    """What gives rows for the one parameter that holds them all; "" where nothing does."""
    if connection.vendor == "sqlite" and connection.features.supports_json_field:
        values = [f"json_extract(value, '$[{number}]')" for number in range(len(fields))]
        source = "json_each(%s)"
    elif connection.vendor == "postgresql":
        values = [_cast(f"(entry ->> {n})", field, connection) for n, field in enumerate(fields)]
        source = "jsonb_array_elements(%s::jsonb) AS entry"
    else:
        return ""
    return " ".join(["SELECT", ", ".join(values), "FROM", source])


def _cast(value: str, field: Any, connection: BaseDatabaseWrapper) -> str:
    is_text = isinstance(getattr(field, "target_field", field), models.CharField)
    # A cast to a text of limited length would cut, where an error is due.
    return value if is_text else f"{value}::{field.db_type(connection)}"


def _text(value: object) -> str:
    """What JSON has for ``value``, a time, a UUID, an address: as the database reads it."""
    if isinstance(value, bytes | bytearray | memoryview):
        # Rows are then written one by one, and such a value goes to the driver as it is.
        raise TypeError("JSON has no bytes.")
    return str(value)


_statements: dict[tuple[object, ...], _Insert] = {}


def _statement(connection: BaseDatabaseWrapper) -> _Insert:
    which = (connection.alias, type(connection))
    try:
        return _statements[which]
    except KeyError:
        with closing(connection.copy()) as twin:
            _statements[which] = made = _Insert(twin)
        return made


@contextmanager
def _impatiently(connection: BaseDatabaseWrapper, *, is_taken_back: bool = False) -> Iterator[str]:
    """Bounds the wait for a lock; gives what the INSERT has to begin with."""
    bound = _BOUNDS.get(connection.vendor)
    if bound is None or (connection.in_atomic_block and not is_taken_back):
        # In a transaction it would bound what comes after as well, unless it is rolled back.
        yield "INSERT"
    else:
        with bound(connection) as insert:
            yield insert


@contextmanager
def _bound_postgresql(connection: BaseDatabaseWrapper) -> Iterator[str]:
    setting = f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"
    if connection.settings_dict["OPTIONS"].get("server_side_binding"):
        # There, one string may not hold two statements.
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute(setting)
            yield "INSERT"
    else:
        # Two statements in one string are one transaction, and one round trip.
        yield f"{setting}; INSERT"


@contextmanager
def _bound_mysql(connection: Any) -> Iterator[str]:
    if connection.mysql_is_mariadb:
        yield (
            f"SET STATEMENT lock_wait_timeout={LOCK_SECONDS}, "
            f"innodb_lock_wait_timeout={LOCK_SECONDS} FOR INSERT"
        )
    else:
        # InnoDB's own cannot be set for one statement, and a session's belongs to the project.
        yield f"INSERT /*+ SET_VAR(lock_wait_timeout={LOCK_SECONDS}) */"


@contextmanager
def _bound_sqlite(connection: BaseDatabaseWrapper) -> Iterator[str]:
    connection.ensure_connection()
    execute = connection.connection.execute
    (before,) = execute("PRAGMA busy_timeout").fetchone()
    execute(f"PRAGMA busy_timeout = {LOCK_SECONDS * 1000}")
    try:
        yield "INSERT"
    finally:
        execute(f"PRAGMA busy_timeout = {before}")


_BOUNDS: dict[str, Callable[[Any], Any]] = {
    "postgresql": _bound_postgresql,
    "mysql": _bound_mysql,
    "sqlite": _bound_sqlite,
}
