"""Old rows go by themselves, with ``REQUEST_LOG_RETENTION``."""

import threading
import time
from datetime import timedelta
from itertools import count
from types import SimpleNamespace

import pytest
from django.core.cache import caches
from django.db import OperationalError, connections
from django.test import Client
from django.utils import timezone

from frappe_tokens.request_log import pruning

from ..conftest import token_header
from .conftest import wait_until
from .population import entry, log, logged

URL = "/api/method/frappe.auth.get_logged_user"
DAY = timedelta(days=1)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def due(settings, monkeypatch):
    """Neither this process nor another one has looked yet."""
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": "durable", "REQUEST_LOG_RETENTION": 30 * DAY}
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    caches["default"].clear()
    monkeypatch.setattr(pruning, "_next", 0.0)
    yield
    wait_until(lambda: not threads())


def threads():
    return [it for it in threading.enumerate() if it.name == "frappe_tokens pruning"]


def log_old(number=1):
    start = timezone.now() - 31 * DAY
    log(*(entry(start - day * DAY) for day in range(number)))


def ask(keys):
    assert Client().get(URL, headers={"Authorization": token_header(keys)}).status_code == 200


def test_request_starts_the_deletion_of_old_rows(keys):
    log_old(3)
    log(entry(timezone.now() - 29 * DAY))

    ask(keys)

    wait_until(lambda: len(logged()) == 2)


def test_nothing_is_deleted_by_default(settings, keys):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": "durable"}
    log_old()

    ask(keys)

    assert not threads()
    assert len(logged()) == 2


def test_processes_look_every_ten_minutes_and_one_deletes_for_all(keys, monkeypatch):
    ask(keys)
    wait_until(lambda: not threads())
    log_old()

    ask(keys)
    assert not threads()
    assert len(logged()) == 3

    monkeypatch.setattr(pruning, "_next", 0.0)  # as in another process
    ask(keys)
    wait_until(lambda: not threads())
    assert len(logged()) == 4

    monkeypatch.setattr(pruning, "_next", time.monotonic())
    caches["default"].clear()  # which forgets by then that a process looked
    ask(keys)
    wait_until(lambda: len(logged()) == 4)


def test_deletes_without_the_cache_too(settings, keys):
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1",
        }
    }
    log_old()

    ask(keys)

    wait_until(lambda: len(logged()) == 1)


def test_batches_are_small_and_leave_the_database_to_others_in_between(monkeypatch):
    seconds, pauses = count(1000), []
    clock = SimpleNamespace(monotonic=lambda: next(seconds), sleep=pauses.append)
    monkeypatch.setattr(pruning, "time", clock)  # each batch takes a second
    monkeypatch.setattr(pruning, "STATEMENT_SIZE", 4)
    log_old(10)

    pruning.start_if_due()
    wait_until(lambda: not threads())

    assert logged() == []
    assert pauses == [9, 9, 9]


def test_rows_are_gone_for_good_without_autocommit(monkeypatch):
    log_old(3)
    monkeypatch.setitem(connections.settings["default"], "AUTOCOMMIT", False)

    pruning.start_if_due()
    wait_until(lambda: not threads())

    assert logged() == []


def test_failure_is_reported_and_reaches_no_request(keys, monkeypatch, caplog):
    def fail(before):
        raise OperationalError("database is locked")

    monkeypatch.setattr(pruning, "old_rows", fail)

    ask(keys)
    wait_until(lambda: caplog.messages)

    assert "Old rows of the request log can't be deleted." in caplog.messages[0]


def test_request_continues_where_no_thread_can_start(keys, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    ask(keys)
