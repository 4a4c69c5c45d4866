"""Deletes old rows of the request log in batches, automatically with ``REQUEST_LOG_RETENTION``.

Then processes that log requests look for old rows every ten minutes, and delete them in a thread,
which works at most a tenth of the time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
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
# How long the thread waits after a batch, as a multiple of the batch's time.
REST = 9

_log_error = RateLimitedLogger(
    logging.getLogger(__name__),
    "Old rows of the request log can't be deleted. The next attempt is in ten minutes.",
)

_next = 0.0
_thread: Thread | None = None


def old_rows(before: datetime) -> QuerySet[ApiRequestLog]:
    """Return the rows from before that time, in the database that is written to."""
    alias = router.db_for_write(ApiRequestLog)
    rows: QuerySet[ApiRequestLog] = ApiRequestLog._base_manager.using(alias).filter(at__lt=before)
    return rows


def delete_in_batches(old: QuerySet[ApiRequestLog], size: int) -> Iterator[int]:
    """Delete ``old``, oldest first, ``size`` rows per transaction.

    Yields:
        The number of rows that each transaction deleted, after its commit.
    """
    since: datetime | None = None
    seen: list[tuple[object, datetime]] = []
    while True:
        # Start where the last batch ended, because the database may still scan deleted rows. Read
        # outside the transaction, because SQLite can't write in one that read before another write.
        rest = old if since is None else old.filter(at__gte=since)
        rows = list(rest.order_by("at").values_list("pk", "at")[:size])
        # The same rows again: a database rule, or an outer transaction, keeps them.
        if not rows or rows == seen:
            return
        deleted = 0
        with transaction.atomic(using=old.db):
            for batch in in_batches(rows, STATEMENT_SIZE):
                # The time selects a partition.
                stored = old.filter(pk__in=[pk for pk, _ in batch])
                stored = stored.filter(at__gte=batch[0][1], at__lte=batch[-1][1])
                # delete() would read all rows if its signals have receivers.
                deleted += stored._raw_delete(old.db)
        since, seen = rows[-1][1], rows
        yield deleted


def start_if_due() -> None:
    """Delete rows older than ``REQUEST_LOG_RETENTION`` in a thread, unless just done."""
    global _next, _thread
    now = time.monotonic()
    if now < _next:
        return
    _next = now + INTERVAL
    retention = conf.REQUEST_LOG_RETENTION
    is_running = _thread is not None and _thread.is_alive()
    if retention is not None and not is_running and not insertion.is_test_run():
        thread = Thread(target=_prune, args=[retention], name="frappe_tokens pruning", daemon=True)
        with suppress(RuntimeError):  # there are too many
            thread.start()
            _thread = thread


def _prune(retention: timedelta) -> None:
    try:
        if not _is_first():
            return
        connection = connections[router.db_for_write(ApiRequestLog)]
        if not connection.get_autocommit():
            connection.set_autocommit(True)  # the connection is this thread's own
        old = old_rows(timezone.now() - retention)
        started = time.monotonic()
        for _ in delete_in_batches(old, STATEMENT_SIZE):
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
        return True  # several processes can delete at the same time
