"""Writes entries into the table with one INSERT, which waits for locks only briefly."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import Any

from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.sql import InsertQuery
from django.utils import timezone

from ..db import LOCK_SECONDS, execute_insert, statement_timeout
from ..models import OTHER, ApiRequestLog
from .entries import Entry

_FIELDS = [field for field in ApiRequestLog._meta.concrete_fields if not field.primary_key]
_values = attrgetter(*(field.attname for field in _FIELDS))
# Every database takes texts and numbers as they are, but not these.
_AT, _USER = _FIELDS[:2]


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
    sql, params = _statement(connection, entries)
    with nullcontext() if connection.get_autocommit() else transaction.atomic(using=alias):
        execute_insert(connection, sql, params, lock_seconds)


def _statement(
    connection: BaseDatabaseWrapper, entries: Sequence[Entry]
) -> tuple[str, Sequence[object]]:
    """Return the INSERT that Django would compile for ``entries``, and its parameters."""
    rows = [
        [_AT.get_db_prep_save(at, connection), _USER.get_db_prep_save(user, connection), *others]
        for at, user, *others in map(_values, entries)
    ]
    one, two, takes_columns = _compiled(connection.alias, connection.vendor)
    if len(rows) == 1:
        return one, rows[0]
    if takes_columns:
        return two, [list(column) for column in zip(*rows, strict=True)]
    return one + two.removeprefix(one) * (len(rows) - 1), list(chain.from_iterable(rows))


@cache
def _compiled(alias: str, vendor: str) -> tuple[str, str, bool]:
    """Return the INSERTs of one and of two entries, and whether the latter takes columns.

    Compiling takes a fifth as long as the database needs for a row, so it's done once. On
    PostgreSQL, Django passes several rows as one array for each column, whatever their number.

    Args:
        alias: of the database.
        vendor: of the connection, which a test may have replaced by one to another database.
    """
    entry = _smallest(timezone.now())
    compiled = []
    for number in (1, 2):
        # bulk_create() takes two or three more round trips. raw, because entries have the columns
        # as attributes, like instances.
        query: Any = InsertQuery(ApiRequestLog)
        query.insert_values(_FIELDS, [entry] * number, raw=True)
        compiled += query.get_compiler(alias).as_sql()
    (one, _), (two, params) = compiled
    return one, two, len(params) == len(_FIELDS)


def _smallest(at: datetime) -> Entry:
    return Entry(at, None, "", "", "GET", "/", 200, 0, None, "", OTHER)


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
            insert([_smallest(at)])
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
