"""Deletes old rows of the request log, in batches; with ``REQUEST_LOG_RETENTION``, by itself.

A process that logs requests then looks every ten minutes whether there are old rows, and deletes
them in a thread, a tenth of the time at most.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from threading import Thread

from django.core.cache import caches
from django.db import connections, router, transaction
from django.db.models import QuerySet
from django.utils import timezone

from ..conf import conf
from ..db import in_batches
from ..logs import RateLimitedLogger
from ..models import ApiRequestLog
from . import insertion

# Rows per statement: older SQLite allows 999 parameters.
STATEMENT_SIZE = 500

INTERVAL = 600
# How many times as long as a batch takes the thread waits after it.
REST = 9

_log_error = RateLimitedLogger(
    logging.getLogger(__name__),
    "Old rows of the request log can't be deleted. The next attempt is in ten minutes.",
)

_next = 0.0
_thread: Thread | None = None


def old_rows(before: datetime) -> QuerySet[ApiRequestLog]:
    """Return the rows that were logged before that time, in the database that is written to."""
    alias = router.db_for_write(ApiRequestLog)
    rows: QuerySet[ApiRequestLog] = ApiRequestLog._base_manager.using(alias).filter(at__lt=before)
    return rows


def delete_in_batches(old: QuerySet[ApiRequestLog], size: int) -> Iterator[int]:
    """Delete ``old``, oldest first, and yield the size of each batch after its commit.

    Args:
        old: the rows.
        size: how many rows a transaction deletes.
    """
    since: datetime | None = None
    seen: list[tuple[object, datetime]] = []
    while True:
        # Start where the last batch ended, because the database may still have to scan deleted
        # rows. Read outside the transaction: SQLite can't write in one that has read before another
        # process has written.
        rest = old if since is None else old.filter(at__gte=since)
        rows = list(rest.order_by("at").values_list("pk", "at")[:size])
        # The same rows again: a rule of the database, or an outer transaction, keeps them.
        if not rows or rows == seen:
            return
        deleted = 0
        with transaction.atomic(using=old.db):
            for batch in in_batches(rows, STATEMENT_SIZE):
                # The time selects a partition. Another process may have deleted rows.
                stored = old.filter(pk__in=[pk for pk, _ in batch])
                stored = stored.filter(at__gte=batch[0][1], at__lte=batch[-1][1])
                # delete() reads all rows first if its signals have receivers.
                deleted += stored._raw_delete(old.db)
        since, seen = rows[-1][1], rows
        yield deleted


def start_if_due() -> None:
    """Delete rows older than ``REQUEST_LOG_RETENTION`` in a thread, unless that was just done."""
    global _next, _thread
    now = time.monotonic()
    if now < _next:
        return
    _next = now + INTERVAL
    is_running = _thread is not None and _thread.is_alive()
    if conf.REQUEST_LOG_RETENTION is not None and not is_running and not insertion.is_test_run():
        thread = Thread(target=_prune, name="frappe_tokens pruning", daemon=True)
        with suppress(RuntimeError):  # there are too many
            thread.start()
            _thread = thread


def _prune() -> None:
    retention = conf.REQUEST_LOG_RETENTION
    try:
        if retention is None or not _is_first():
            return
        connection = connections[router.db_for_write(ApiRequestLog)]
        if not connection.get_autocommit():
            connection.set_autocommit(True)  # it is this thread's own
        batches = delete_in_batches(old_rows(timezone.now() - retention), STATEMENT_SIZE)
        started = time.monotonic()
        for _ in batches:
            time.sleep(REST * (time.monotonic() - started))
            started = time.monotonic()
    except Exception:
        _log_error()
    finally:
        connections.close_all()


def _is_first() -> bool:
    """Whether no other process has begun in this interval."""
    try:
        name = "frappe_tokens:pruning"
        return caches[conf.CACHE or "default"].add(name, True, INTERVAL - 1)
    except Exception:
        return True  # several can delete side by side
