"""How the request log's table fares as it grows: writing, deleting old rows, and reading."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from statistics import median
from typing import Any

from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log import delete_in_batches, old_rows, usage_of
from frappe_tokens.request_log.pruning import REST, STATEMENT_SIZE

from . import capacity, pages, sizes, usage
from .report import Table

TITLE = "The request log as it grows"
COMMAND_SIZE = 2000  # prune_request_log's
READS = 5


def measure(numbers: Sequence[int], seconds: int) -> list[Table]:
    """Return the table, with a line for each of ``numbers`` of rows."""
    if connection.vendor != "postgresql":
        return [Table(TITLE, notes=["Left out: only for PostgreSQL."])]
    client = pages.signed_in()
    speeds = "inserted a second", "deleted a second", "in the background"
    table = Table(TITLE, ("rows", "GB", *speeds, "list, ms", "thirty days of all, ms"))
    for rows in numbers:
        _empty()
        usage.populate(rows)
        size = _size()
        listed = _milliseconds(lambda: _open(client))
        counted = _milliseconds(lambda: usage_of(ApiRequestLog.objects.all()))
        inserted = capacity.by_processes(sizes.insert_batch, seconds).second
        deleted = _deleted(COMMAND_SIZE, seconds)
        background = _deleted(STATEMENT_SIZE, seconds) / (1 + REST)
        cells = (rows, size / 1e9, inserted, deleted, background, listed, counted)
        table.rows.append(tuple(f"{cell:,.1f}" if cell < 10 else f"{cell:,.0f}" for cell in cells))
    _empty()
    table.notes.append(
        f"Inserted by {capacity.PROCESSES} processes; deleted by one, by prune_request_log, and by "
        "REQUEST_LOG_RETENTION, which works a tenth of the time. Deleting leaves work for vacuum, "
        "which isn't in these figures."
    )
    return [table]


def _empty() -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE frappe_tokens_apirequestlog")


def _size() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_total_relation_size('frappe_tokens_apirequestlog')")
        return int(cursor.fetchone()[0])


def _open(client: Client) -> None:
    response: Any = client.get(reverse("admin:frappe_tokens_apirequestlog_changelist"))
    pages.check(response)


def _milliseconds(call: Callable[[], object]) -> float:
    call()
    taken = []
    for _ in range(READS):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return median(taken) * 1000


def _deleted(size: int, seconds: int) -> float:
    old = old_rows(timezone.now() - timedelta(days=1))
    number, began = 0, time.perf_counter()
    for deleted in delete_in_batches(old, size):
        number += deleted
        if time.perf_counter() - began >= seconds:
            break
    return number / (time.perf_counter() - began)
