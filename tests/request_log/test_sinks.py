"""Which log ``REQUEST_LOG`` names, and that no request fails because of it."""

import logging
import threading
import time
from contextlib import closing

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from frappe_tokens.db import LOCK_SECONDS
from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log import NullSink, Sink, current_sink, sinks
from frappe_tokens.request_log.buffered import BufferedSink
from frappe_tokens.request_log.sinks import DurableSink

from ..conftest import token_header
from ..log_tables import TABLE
from .conftest import an_entry, locked, logged_paths, wait_until

commits = pytest.mark.django_db(transaction=True)

URL = "/api/method/frappe.auth.get_logged_user"


class Shipper(Sink):
    """A project's own."""

    def __init__(self):
        self.shipped = []

    def write(self, entry):
        self.shipped.append(entry)


class Broken(Sink):
    """It has no ``write``."""


class Demanding(Sink):
    def __init__(self, address):
        """No one gives it the address."""


@pytest.mark.parametrize(
    ("name", "kind", "blocks"),
    [
        ("durable", DurableSink, True),
        ("buffered", BufferedSink, False),
        ("null", NullSink, False),
        (f"{__name__}.Shipper", Shipper, True),
    ],
)
def test_each_process_has_one_sink(settings, name, kind, blocks):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": name}

    assert type(current_sink()) is kind
    assert current_sink() is current_sink()
    assert current_sink().blocks is blocks


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("logs.Missing", "ModuleNotFoundError: No module named 'logs'"),
        (f"{__name__}.Missing", "ImportError"),
        (f"{__name__}.Demanding", "TypeError"),
        ("builtins.object", "does not extend frappe_tokens.request_log.Sink"),
        ("tables", "Use one of 'durable', 'buffered', 'null'"),
    ],
)
def test_server_does_not_start_with_an_invalid_sink(settings, name, error):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": name}

    with pytest.raises(ImproperlyConfigured, match=f"REQUEST_LOG.*{error}"):
        WSGIHandler()


def test_sink_of_the_project_gets_the_entries(settings, client, keys):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": f"{__name__}.Shipper"}

    client.get(URL, headers={"Authorization": token_header(keys)})

    (entry,) = current_sink().shipped
    assert (entry.path, entry.status, entry.outcome) == (URL, 200, "accepted")
    assert entry.user_id == keys.instance.user.pk
    current_sink().close()
    assert not ApiRequestLog.objects.exists()


def test_request_continues_if_the_sink_of_the_project_fails(settings, keys, caplog):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": f"{__name__}.Broken"}
    client = Client()  # its middleware has reported nothing yet

    for _ in range(3):
        response = client.get(URL, headers={"Authorization": token_header(keys)})
        assert response.status_code == 200

    (record,) = errors(caplog)
    assert record.getMessage() == "A request can't be logged."
    assert record.exc_info is not None
    with pytest.raises(NotImplementedError):
        current_sink().write(an_entry())


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


@commits
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


@commits
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


@commits
@pytest.mark.parametrize("is_unlocked", [True, False])
def test_row_of_counts_which_no_request_waits_for_waits_longer_for_the_lock(
    monkeypatch, is_unlocked
):
    monkeypatch.setattr(sinks, "COUNTS_LOCK_SECONDS", 60 if is_unlocked else 2)

    def write():
        with closing(connection):
            DurableSink().write(an_entry("", method=""))

    thread = threading.Thread(target=write)
    with locked():
        thread.start()
        thread.join(LOCK_SECONDS * 1.5)
        assert thread.is_alive()
        if not is_unlocked:
            # The end of the process waits for it, but not without an end.
            thread.join(30)
            assert not thread.is_alive()
    thread.join()

    assert ApiRequestLog.objects.count() == is_unlocked
