"""The durable log writes a row before the response. No request fails because of its log."""

import logging
import threading
import time
from contextlib import closing

import pytest
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from frappe_tokens.db import LOCK_SECONDS
from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log import sinks
from frappe_tokens.request_log.sinks import DurableSink

from ..conftest import token_header
from ..log_tables import TABLE
from .conftest import an_entry, locked, logged_paths, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

PATHS = [
    "/api/method/frappe.auth.get_logged_user",
    "/api/resource/ToDo/1",
    "/api/method/unknown",
]
STATUSES = [200, 403, 404, 401]


def statuses(keys):
    """The statuses of requests of different kinds, the last one with a wrong secret."""
    client = Client(headers={"Authorization": token_header(keys)})
    refused = Client(headers={"Authorization": "token ftk_a:fts_b"}).get(PATHS[0])
    return [*(client.get(path).status_code for path in PATHS), refused.status_code]


def errors(caplog):
    return [
        record
        for record in caplog.records
        if record.name.startswith("frappe_tokens") and record.levelno >= logging.ERROR
    ]


def test_request_costs_one_insert_more(client, keys):
    headers = {"Authorization": token_header(keys)}
    client.get(PATHS[0], headers=headers)  # and the key's last use is recorded

    with CaptureQueriesContext(connection) as captured:
        client.get(PATHS[0], headers=headers)

    select, insert = (query["sql"] for query in captured)
    assert select.startswith("SELECT")
    assert f"INSERT INTO {connection.ops.quote_name(TABLE)}" in insert
    assert logged_paths() == [PATHS[0]] * 2


@pytest.mark.parametrize("log", ["durable", "buffered"])
def test_requests_continue_without_the_log(settings, keys, trouble, caplog, log):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": log}
    assert statuses(keys) == STATUSES  # and the key's last use is recorded
    caplog.clear()

    with trouble():
        started = time.monotonic()
        assert [statuses(keys) for _ in range(8)] == [STATUSES] * 8
        # One waits for the lock at most, not all.
        assert time.monotonic() - started < 8 * LOCK_SECONDS
        wait_until(lambda: errors(caplog))
    wait_until(lambda: log == "durable" or len(logged_paths()) == 9 * len(STATUSES))

    (error,) = errors(caplog)
    assert "can't be written" in error.getMessage()
    assert "process has lost" in error.getMessage()
    assert error.exc_info is not None


def test_durable_waits_for_a_lock_only_once_in_a_while(monkeypatch):
    sink = DurableSink()
    with locked():
        started = time.monotonic()
        sink.write(an_entry("/waited"))
        assert time.monotonic() - started >= LOCK_SECONDS / 2
    sink.write(an_entry("/too early"))
    assert logged_paths() == []

    monkeypatch.setattr(sinks, "REST", 0)
    sink = DurableSink()
    with locked():
        sink.write(an_entry("/waited"))
    sink.write(an_entry("/late enough"))
    assert logged_paths() == ["/late enough"]


def test_row_of_counts_which_no_request_waits_for_waits_for_the_lock():
    def write():
        with closing(connection):
            DurableSink().write(an_entry("", number=3))

    thread = threading.Thread(target=write)
    with locked():
        thread.start()
        thread.join(LOCK_SECONDS * 1.5)
        assert thread.is_alive()
    thread.join()

    assert ApiRequestLog.objects.get().number == 3


def test_durable_threads_wait_side_by_side(settings, keys):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": "durable"}
    assert statuses(keys) == STATUSES
    answers = []

    def ask():
        try:
            answers.append(statuses(keys))
        finally:
            connections.close_all()

    clients = [threading.Thread(target=ask) for _ in range(8)]
    with locked():
        started = time.monotonic()
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert time.monotonic() - started < 8 * LOCK_SECONDS
    assert answers == [STATUSES] * 8
