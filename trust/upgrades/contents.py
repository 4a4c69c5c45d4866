"""What must be the same after an upgrade and a downgrade: rows, and the schema."""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

from django.db import connection


class Contents(NamedTuple):
    """The rows of a table: how many, and the sum of a checksum over each."""

    rows: int
    checksum: int


def contents(model: Any, last: int) -> Contents:
    """Return those of the columns that ``model`` knows, of rows with primary keys up to ``last``.

    The load writes later rows.
    """
    quote = connection.ops.quote_name
    columns = [quote(field.column) for field in model._meta.concrete_fields]
    match connection.vendor:
        case "postgresql":
            checksum = f"hashtextextended(ROW({', '.join(columns)})::text, 0)::numeric"
        case "mysql":
            texts = ", ".join(f"COALESCE({column}, '~')" for column in columns)
            checksum = f"CRC32(CONCAT_WS('|', {texts}))"
        case _:
            connection.ensure_connection()
            connection.connection.create_function("crc32", -1, _crc32, deterministic=True)
            checksum = f"crc32({', '.join(columns)})"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*), sum({checksum}) FROM {quote(model._meta.db_table)} WHERE id <= %s",
            [last],
        )
        rows, total = cursor.fetchone()
    return Contents(int(rows), int(total or 0))


def _crc32(*values: Any) -> int:
    return zlib.crc32(repr(values).encode())


def schema(*tables: str) -> dict[str, Any]:
    """Return the columns, the constraints and the indexes of the tables by name."""
    found: dict[str, Any] = {}
    existing = connection.introspection.table_names()
    with connection.cursor() as cursor:
        for table in tables:
            if table not in existing:
                continue
            for column in connection.introspection.get_table_description(cursor, table):
                # Not the display size, which on MariaDB is that of the longest value.
                found[f"{table}.{column.name}"] = (column.type_code, *column[3:])
            constraints = connection.introspection.get_constraints(cursor, table)
            for name, constraint in constraints.items():
                # SQLite gives the constraints without a name in SQL a number.
                label = "unnamed" if name.startswith("__unnamed") else name
                found[f"{table} {label} {constraint['columns']}"] = constraint
    return found
