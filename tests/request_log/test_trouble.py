"""The log's table is locked or gone: requests go on with their own answers."""

import logging
import threading
import time

import pytest
from django.db import connections
from django.test import Client

from frappe_tokens.request_log import current_sink, sinks

from ..conftest import token_header
from .conftest import logged_paths, table_gone, table_locked, wait_until

URL = "/api/method/frappe.auth.get_logged_user"


@pytest.fixture(autouse=True)
def _another_log(monkeypatch):
    """One that has complained of nothing yet."""
    monkeypatch.setattr(sinks, "_sinks", {})


def ask(keys, number):
    """What so many requests of different kinds are answered."""
    client = Client(headers={"Authorization": token_header(keys)})
    kinds = [URL, "/api/resource/ToDo/1", "/api/method/unknown"]
    statuses = [client.get(kinds[count % 3]).status_code for count in range(number)]
    refused = Client(headers={"Authorization": "token ftk_a:fts_b"}).get(URL)
    return [*statuses, refused.status_code]


@pytest.mark.parametrize("log", ["durable", "buffered"])
def test_requests_go_on_with_their_own_answers(
    settings,
    keys,
    trouble,
    caplog,
    log,
):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": log}
    usual = ask(keys, 30)
    assert usual[:3] == [200, 403, 404]
    assert usual[-1] == 401
    current_sink().flush()
    number = len(logged_paths())
    assert number == 31
    caplog.clear()
    with trouble():
        began = time.monotonic()
        assert ask(keys, 30) == usual
        assert time.monotonic() - began < 10
        wait_until(lambda: bool(complaints(caplog)))
    (complaint,) = complaints(caplog)
    assert "can't be written" in complaint.getMessage()
    current_sink().close()


def complaints(caplog):
    return [
        record
        for record in caplog.records
        if record.name.startswith("frappe_tokens") and record.levelno >= logging.ERROR
    ]


def test_buffered_catches_up_after_it(settings, keys, trouble):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": "buffered"}
    ask(keys, 3)
    with trouble():
        ask(keys, 30)
    wait_until(lambda: len(logged_paths()) == 4 + 31)
    current_sink().close()


def test_durable_threads_wait_side_by_side(settings, keys, transactional_db):
    """None waits for the others' waiting."""
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": "durable"}
    ask(keys, 3)
    answers = []

    def ask_aside():
        try:
            answers.append(ask(keys, 3))
        finally:
            connections.close_all()

    clients = [threading.Thread(target=ask_aside) for _ in range(4)]
    with table_locked():
        began = time.monotonic()
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert time.monotonic() - began < 10
    assert answers == [[200, 403, 404, 401]] * 4


def test_durable_goes_on_when_the_table_is_there_again(settings, keys, transactional_db):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": "durable"}
    with table_gone():
        ask(keys, 3)
    ask(keys, 3)
    assert len(logged_paths()) == 4
