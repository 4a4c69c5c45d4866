"""What a migration should not do to these tables while they are in use, and how long that takes."""

from __future__ import annotations

import time

from django.db import connection, models
from django.db.migrations import AddConstraint, AddField, AddIndex
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations.base import Operation

from . import APP, BASE
from .trial import TABLES
from .watching import Waits

# Columns whose type has a CHECK on one database or another, and Django's own operations.
TRAPS: dict[str, Operation] = {
    "keys: add a PositiveIntegerField": AddField(
        "apikey", "trap_number", models.PositiveIntegerField(null=True)
    ),
    "keys: add a JSONField": AddField("apikey", "trap_json", models.JSONField(null=True)),
    "keys: AddConstraint, a CHECK": AddConstraint(
        "apikey",
        models.CheckConstraint(condition=~models.Q(rate_limit="x"), name="trap_has_rate"),
    ),
    "log: AddIndex": AddIndex(
        "apirequestlog", models.Index(fields=["source", "at"], name="trap_log_index")
    ),
}


def measure() -> dict[str, dict[str, float]]:
    """Return the seconds of each, and of the longest read and write meanwhile."""
    found = {}
    executor = MigrationExecutor(connection)
    for title, operation in TRAPS.items():
        before = executor.loader.project_state((APP, BASE))
        after = before.clone()
        operation.state_forwards(APP, after)
        waits = Waits(TABLES)
        with waits.asking():
            time.sleep(0.2)
            began = time.monotonic()
            with connection.schema_editor() as editor:
                operation.database_forwards(APP, editor, before, after)
            ended = time.monotonic()
        found[title] = {
            "seconds": ended - began,
            "read": waits.longest("read", 0, ended),
            "write": waits.longest("write", 0, ended),
        }
        with connection.schema_editor() as editor:
            operation.database_backwards(APP, editor, after, before)
    return found
