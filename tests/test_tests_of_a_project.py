"""The request log in the tests of a project, which has not set it up for them."""

import asyncio
import threading

import pytest
from django.core import mail
from django.test import AsyncClient, Client
from django.test.utils import _TestState
from django.utils import timezone

from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log import insertion

from .client import DAY, WHO, ask
from .request_log.population import entry, log


@pytest.fixture(autouse=True)
def default_log(settings):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG_LIMIT": 3, "REQUEST_LOG_RETENTION": DAY}


def threads():
    return {it.name for it in threading.enumerate() if it.name.startswith("frappe_tokens")}


@pytest.mark.django_db
def test_every_request_is_in_the_log_at_once(keys):
    for _ in range(5):
        ask(keys)
        Client(headers={"Authorization": "Other x"}).get(WHO)

    assert ApiRequestLog.objects.filter(outcome="accepted").count() == 5
    assert ApiRequestLog.objects.filter(outcome="other").count() == 5
    assert threads() == set()


@pytest.mark.django_db(transaction=True)
def test_async_requests_are_too():
    asyncio.run(AsyncClient().get(WHO, headers={"Authorization": "Other x"}))

    assert ApiRequestLog.objects.count() == 1
    assert threads() == set()


@pytest.mark.django_db
def test_no_thread_deletes_old_rows(keys):
    log(entry(timezone.now() - 2 * DAY))

    ask(keys)

    assert ApiRequestLog.objects.count() == 2
    assert threads() == set()


def test_mail_kept_in_memory_makes_no_test_run(monkeypatch):
    assert mail.outbox == []  # which a project may have as well
    monkeypatch.delattr(_TestState, "saved_data")

    assert not insertion.is_test_run()
