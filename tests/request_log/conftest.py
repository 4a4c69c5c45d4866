"""Entries, and what may happen to the table of the log."""

import time
from contextlib import suppress
from functools import partial

import pytest
from django.utils import timezone

from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log import Entry, sinks
from frappe_tokens.request_log.buffered import BufferedSink

from ..log_tables import locked_log, log_gone


def an_entry(path="/api/", **columns):
    """An accepted request without a user."""
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


# The table has a constraint or a type against it, on every database.
IMPOSSIBLE = an_entry("/impossible", status=-1)


def logged_paths():
    """The paths in the log, in the order of their rows."""
    return list(ApiRequestLog.objects.order_by("pk").values_list("path", flat=True))


def wait_until(holds, seconds=60):
    """Poll; fail if it doesn't hold in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail("It took too long.")
        time.sleep(0.005)


locked = partial(locked_log, sqlite="IMMEDIATE")


@pytest.fixture(params=[locked, log_gone], ids=["locked", "gone"])
def trouble(request, transactional_db):
    """A context in which the log can't be written."""
    return request.param


@pytest.fixture(autouse=True)
def in_production(as_in_production):
    """All tests here are about what the log does in production."""


@pytest.fixture(autouse=True)
def new_sinks(monkeypatch):
    """Each test has its own sinks, which have reported nothing yet."""
    monkeypatch.setattr(sinks, "_sinks", {})
    yield
    for sink in sinks._sinks.values():
        with suppress(OSError):
            sink.close()


@pytest.fixture
def sink(transactional_db):
    """A buffered one, closed afterwards."""
    sink = BufferedSink()
    yield sink
    sink.close()
