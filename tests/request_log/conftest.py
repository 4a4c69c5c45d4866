"""Entries, and what a database can do to the log's table."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, contextmanager

import pytest
from django.db import connection
from django.utils import timezone

from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log import Entry
from frappe_tokens.request_log.buffered import BufferedSink

TABLE = ApiRequestLog._meta.db_table

# Not to be had by anyone else: a migration, a copy for a backup.
LOCKS = {
    "postgresql": ("BEGIN", f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE", "ROLLBACK"),
    "mysql": ("SELECT 1", f"LOCK TABLES {TABLE} WRITE", "UNLOCK TABLES"),
    "sqlite": ("SELECT 1", "BEGIN IMMEDIATE", "ROLLBACK"),
}

Within = Callable[[], AbstractContextManager[None]]


def an_entry(path="/api/", **columns):
    """An accepted request of nobody's."""
    usual = {
        "at": timezone.now(),
        "user_id": None,
        "api_key": "ftk_key",
        "source": "User",
        "method": "GET",
        "path": path,
        "status": 200,
        "duration_ms": 5,
        "ip": "192.0.2.7",
        "user_agent": "curl/8",
        "outcome": "accepted",
    }
    return Entry(**{**usual, **columns})


def logged_paths():
    """The paths on record, in the order of their rows."""
    return list(ApiRequestLog.objects.order_by("pk").values_list("path", flat=True))


def wait_until(holds, seconds=20):
    """Poll; fail where it does not hold in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail("It did not come to that in time.")
        time.sleep(0.005)


@contextmanager
def table_locked():
    """Another connection holds the log's table; on SQLite, the database against writing."""
    begin, lock, end = LOCKS[connection.vendor]
    with closing(connection.copy()) as other, other.cursor() as cursor:
        cursor.execute(begin)
        cursor.execute(lock)
        try:
            yield
        finally:
            cursor.execute(end)


@contextmanager
def table_gone():
    """The log's table has another name."""
    _rename(TABLE, f"{TABLE}_gone")
    try:
        yield
    finally:
        _rename(f"{TABLE}_gone", TABLE)


def _rename(present, future):
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {present} RENAME TO {future}")


@pytest.fixture(params=[table_locked, table_gone], ids=["locked", "gone"])
def trouble(request, transactional_db):
    """What keeps everybody from writing the log, in turn."""
    return request.param


@pytest.fixture
def sink(transactional_db):
    """A buffered one, ended afterwards."""
    made = BufferedSink()
    yield made
    made.close()
