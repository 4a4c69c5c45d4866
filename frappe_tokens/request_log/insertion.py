"""Writes entries into the table by one INSERT, which hardly waits for locks.

The ORM takes several times as long, and every request would pay for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cache, partial
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, connections, models, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from ..db import bounded_insert
from ..models import OTHER, ApiRequestLog
from .entries import Entry

# Errors that blame a row. All others may also blame the database, or the connection.
_ROW_ERRORS = (DataError, IntegrityError, ValidationError, ValueError, TypeError, OverflowError)

_ROW = f"({', '.join(['%s'] * len(Entry._fields))})"
_AT, _USER, _IP = map(Entry._fields.index, ("at", "user_id", "ip"))


def insert(entries: Sequence[Entry], *, commit: bool = False) -> None:
    """Write all of ``entries``, at least one, into the table, or none.

    Args:
        entries: the rows.
        commit: commit them even if the project has switched off Django's autocommit.

    Raises:
        django.db.DatabaseError: they are not written. The caller's transaction continues.
    """
    connection = _connection()
    if commit and not connection.get_autocommit():
        connection.set_autocommit(True)
    in_transaction = not connection.get_autocommit()
    with transaction.atomic(using=connection.alias) if in_transaction else nullcontext():
        _execute(connection, entries)


def try_insert(entry: Entry) -> None:
    """Write ``entry`` and roll it back at once, to see if the table can be written.

    Raises:
        django.db.DatabaseError: it can't be. The caller's transaction continues.
    """
    connection = _connection()
    with transaction.atomic(using=connection.alias):
        _execute(connection, [entry], is_rolled_back=True)
        transaction.set_rollback(True, using=connection.alias)


def insert_batch(
    entries: Sequence[Entry],
    report: Callable[[int, bool], None],
    *,
    commit: bool,
    is_last_try: bool = False,
) -> None:
    """Write ``entries`` except for those that the table refuses, which are found by halving.

    A row is refused if it fails alone, and twice, while the table accepts another one. If the
    table accepts none, that takes two INSERTs.

    Args:
        entries: at least one.
        report: called with how many of them, in their order, are done, and whether they are
            refused: one by one, while the exception is handled.
        commit: see :func:`insert`.
        is_last_try: whether the only entry has failed before.

    Raises:
        Exception: the database's, if the table can't be written.
    """
    try:
        insert(entries, commit=commit)
    except Exception as error:
        is_of_row = isinstance(error, _ROW_ERRORS)
        if not is_of_row and not _accepts_another(entries[0]):
            raise
        if len(entries) == 1 and (is_of_row or is_last_try):
            report(1, True)
            return
    else:
        report(len(entries), False)
        return
    if len(entries) == 1:
        insert_batch(entries, report, commit=commit, is_last_try=True)
    else:
        middle = len(entries) // 2
        insert_batch(entries[:middle], report, commit=commit)
        insert_batch(entries[middle:], report, commit=commit)


def _accepts_another(entry: Entry) -> bool:
    """Whether the table accepts a row of the same time without anything that a client sent.

    Another waiting row proves nothing: one client may have sent them all.
    """
    try:
        try_insert(Entry(entry.at, None, "", "", "GET", "/", 200, 0, None, "", OTHER))
    except Exception:
        return False
    return True


def database_name() -> object:
    """Return the name of the log's database now. A run of tests changes it."""
    return connections.settings[router.db_for_write(ApiRequestLog)]["NAME"]


def connects_to(name: object) -> bool:
    """Connect to the log's database, and return whether it is the one called ``name``."""
    if database_name() == name:
        _connection().ensure_connection()
    # Another thread may have changed the name before the connection was made.
    return database_name() == name


def _connection() -> BaseDatabaseWrapper:
    return connections[router.db_for_write(ApiRequestLog)]


def _execute(
    connection: BaseDatabaseWrapper, entries: Sequence[Entry], *, is_rolled_back: bool = False
) -> None:
    rows = _rows(connection, entries)
    into, select = _statement(connection.alias, connection.vendor)
    bounded = bounded_insert(connection, is_rolled_back=is_rolled_back)
    with bounded as insert_, connection.cursor() as cursor:
        if select and len(rows) > 1:
            # One parameter per value takes five times as long on PostgreSQL. On SQLite, this
            # takes Python's lock once, and executemany() at each row.
            params = [json.dumps(rows, default=_to_json)]
            cursor.execute(f"{insert_} {into} {select}", params)
        else:
            values = ", ".join([_ROW] * len(rows))
            params = [value for row in rows for value in row]
            cursor.execute(f"{insert_} {into} VALUES {values}", params)


def _rows(connection: BaseDatabaseWrapper, entries: Sequence[Entry]) -> list[list[Any]]:
    """Return the values of ``entries`` for the driver, which takes text and numbers as they are."""
    to_time = connection.ops.adapt_datetimefield_value
    # A field takes longer for a value than the driver for a row, and few of them are different.
    to_user, to_ip = (
        cache(partial(_field(name).get_db_prep_save, connection=connection))
        for name in ("user_id", "ip")
    )
    rows = []
    for entry in entries:
        row: list[Any] = list(entry)
        row[_AT] = to_time(entry.at)
        row[_USER] = to_user(entry.user_id)
        row[_IP] = to_ip(entry.ip)
        rows.append(row)
    return rows


def _field(attribute: str) -> Any:
    return ApiRequestLog._meta.get_field("user" if attribute == "user_id" else attribute)


@cache
def _statement(alias: str, vendor: str) -> tuple[str, str]:
    """Return the table with its columns, and a SELECT of rows from one parameter in JSON, or ""."""
    connection = connections[alias]
    fields = [_field(name) for name in Entry._fields]
    quote = connection.ops.quote_name
    columns = ", ".join(quote(field.column) for field in fields)
    into = f"INTO {quote(ApiRequestLog._meta.db_table)} ({columns})"
    if vendor == "sqlite" and connection.features.supports_json_field:
        values = [f"json_extract(value, '$[{n}]')" for n in range(len(fields))]
        source = "json_each(%s)"
    elif vendor == "postgresql":
        values = [_cast(f"(entry ->> {n})", field, connection) for n, field in enumerate(fields)]
        source = "jsonb_array_elements(%s::jsonb) AS entry"
    else:
        return into, ""
    return into, " ".join(["SELECT", ", ".join(values), "FROM", source])


def _cast(value: str, field: Any, connection: BaseDatabaseWrapper) -> str:
    is_text = isinstance(getattr(field, "target_field", field), models.CharField)
    # A cast to a text of limited length would cut it, instead of an error.
    return value if is_text else f"{value}::{field.db_type(connection)}"


def _to_json(value: object) -> str:
    """Return the JSON of a time, a UUID or an address as the database reads it."""
    if isinstance(value, bytes | bytearray | memoryview):
        # Rows are then written one by one, and the driver gets such a value as it is.
        raise TypeError("JSON has no bytes.")
    return str(value)
