"""The online index on a request log that is partitioned as the documentation shows."""

from __future__ import annotations

import re
from collections.abc import Iterator

from django.db import connection

from benchmarks.server import ROOT

from .migrating import migrate
from .trial import TABLES

BEFORE, STEP, INDEX = "next_4_log_default", "next_5_log_index", "frappe_tokens_log_next"


def add_index() -> dict[str, bool]:
    """Return what must hold, and whether it does. The tables are those of the last migration."""
    migrated = migrate(BEFORE)
    for statement in _statements():
        with connection.cursor() as cursor:
            cursor.execute(statement)
    found = {"the tables migrate": not migrated.error, "has partitions": len(_indexed()) > 1}
    found["a new column keeps its default"] = _default("next_size") == "0"
    found["the index is added"] = not migrate(STEP).error
    found["each partition has it, and it is used"] = all(_indexed().values())
    # As after an interruption: it is there already, and not recorded.
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE name = %s", [STEP])
    found["it is added again"] = not migrate(STEP).error and all(_indexed().values())
    found["the index is removed"] = not migrate(BEFORE).error
    found["no partition has it"] = not any(_indexed().values())
    return found


def _indexed() -> dict[str, bool]:
    """Return the table and its partitions, and whether each has a valid index of that name."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.relname, coalesce(bool_or(indisvalid AND i.relname LIKE %s), false) "
            "FROM pg_partition_tree(%s::regclass) AS tree JOIN pg_class AS t ON t.oid = tree.relid "
            "LEFT JOIN pg_index ON indrelid = t.oid LEFT JOIN pg_class AS i ON i.oid = indexrelid "
            "GROUP BY t.relname",
            [f"{INDEX}%", TABLES[1]],
        )
        return dict(cursor.fetchall())


def _default(column: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_default FROM information_schema.columns "
            "WHERE table_name = %s AND column_name = %s",
            [TABLES[1], column],
        )
        return str(cursor.fetchone()[0])


def _statements() -> Iterator[str]:
    """Yield the statements of the page, one by one, as psql sends them."""
    text = (ROOT / "docs" / "reference" / "large-request-logs.md").read_text()
    section = text.split("\n## A partition for each month\n")[1].split("\n## ")[0]
    statement = ""
    for block in re.findall(r"^```sql\n(.*?)^```", section, re.MULTILINE | re.DOTALL):
        for line in block.splitlines(keepends=True):
            statement += line
            if line.endswith(";\n") and statement.count("$$") % 2 == 0:
                yield statement
                statement = ""
