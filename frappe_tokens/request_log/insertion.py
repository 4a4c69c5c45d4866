"""Writes entries into the table with one INSERT, which waits for locks only briefly."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import Any

from django.db import connections, router, transaction
from django.db.models.sql import InsertQuery

from ..db import LOCK_SECONDS, bounded_insert, statement_timeout
from ..models import OTHER, ApiRequestLog
from .entries import Entry

_FIELDS = [field for field in ApiRequestLog._meta.concrete_fields if not field.primary_key]


def insert(
    entries: Sequence[Entry], *, commit: bool = False, lock_seconds: int = LOCK_SECONDS
) -> None:
    """Write all of ``entries``, of which there is at least one, or none.

    Args:
        entries: what to write.
        commit: commit even if the project has switched off Django's autocommit.
        lock_seconds: how long to wait for locks.

    Raises:
        django.db.DatabaseError: nothing was written. The caller's transaction continues.
    """
    alias = router.db_for_write(ApiRequestLog)
    connection = connections[alias]
    if commit and not connection.get_autocommit():
        connection.set_autocommit(True)
    # bulk_create() takes two or three more round trips, and twice the time per row. raw, because
    # entries have the columns as attributes, like instances.
    query: Any = InsertQuery(ApiRequestLog)
    query.insert_values(_FIELDS, entries, raw=True)
    ((sql, params),) = query.get_compiler(alias).as_sql()
    with (
        nullcontext() if connection.get_autocommit() else transaction.atomic(using=alias),
        bounded_insert(connection, lock_seconds) as insert_,
        connection.cursor() as cursor,
    ):
        cursor.execute(sql.replace("INSERT", insert_, 1), params)


def rows_max() -> int:
    """Return how many rows one INSERT can write."""
    limit = connections[router.db_for_write(ApiRequestLog)].features.max_query_params
    return limit // len(_FIELDS) if limit else 1_000


def can_insert(at: datetime) -> bool:
    """Whether the table accepts a row of that time without client data. It is rolled back.

    Another waiting row would prove nothing, because one client may have sent them all.
    """
    alias = router.db_for_write(ApiRequestLog)
    try:
        with statement_timeout(alias), transaction.atomic(using=alias):
            insert([Entry(at, None, "", "", "GET", "/", 200, 0, None, "", OTHER)])
            transaction.set_rollback(True, using=alias)
    except Exception:
        return False
    return True


def is_test_run() -> bool:
    """Whether ``setup_test_environment()`` was called, as all test runners do."""
    # There is no public API. mail.outbox also exists in projects that keep emails in memory, where
    # the limit of the log must hold.
    utils = sys.modules.get("django.test.utils")
    return utils is not None and hasattr(utils._TestState, "saved_data")
