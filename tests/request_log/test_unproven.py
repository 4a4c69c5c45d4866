"""What clients without a correct secret can write into the log."""

import asyncio
import threading
from datetime import timedelta

import pytest
import time_machine
from django.core.cache.backends.locmem import LocMemCache
from django.db import connection
from django.db.models import Sum
from django.test import AsyncClient, Client, RequestFactory
from django.utils import timezone

from frappe_tokens.exceptions import Reason, Refused
from frappe_tokens.keys import revoke
from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log import Sink, close, current_sink, record, unproven, usage_of
from frappe_tokens.request_log.unproven import ADDRESSES, COUNTS_MAX
from frappe_tokens.request_log.unproven import limit as process
from frappe_tokens.verification import Outcome, RequestInfo, get_outcome, report_failure
from frappe_tokens.verification.request import set_outcome

from ..conftest import token_header
from .conftest import wait_until

URL = "/api/method/frappe.auth.get_logged_user"
START = threading.Timer.start
MADE_UP = f"token ftk_{'a' * 16}:wrong"

pytestmark = pytest.mark.django_db(transaction=True)


class Shipper(Sink):
    """A project's own."""

    def __init__(self):
        self.entries = []

    def write(self, entry):
        self.entries.append(entry)


class Away:
    """A cache that doesn't answer."""

    def __getattr__(self, name):
        raise ConnectionError


@pytest.fixture(autouse=True)
def three_rows(settings, monkeypatch):
    """Three rows for each address. The minute, in which all happens, ends by hand."""
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": "durable", "REQUEST_LOG_LIMIT": 3}
    monkeypatch.setattr(threading.Timer, "start", lambda timer: None)
    with time_machine.travel(timezone.now().replace(second=20), tick=False):
        yield


def ask(times=1, credential="Other x", ip="192.0.2.1"):
    client = Client(headers={"Authorization": credential}, REMOTE_ADDR=ip)
    return [client.get(URL).status_code for _ in range(times)]


def log_one(ip, path="/"):
    """Log a request that no view has answered."""
    record(RequestFactory().get(path, REMOTE_ADDR=ip), timezone.now(), 0.1, 404)


def rows(**conditions):
    return ApiRequestLog.objects.filter(**conditions)


@pytest.mark.parametrize(
    ("credential", "outcome", "status"),
    [
        ("Digest x", "other", 401),
        ("token nonsense", "malformed_credentials", 401),
        (MADE_UP, "invalid_credentials", 401),
    ],
    ids=["other", "malformed", "made-up"],
)
def test_requests_beyond_the_limit_are_counted_in_one_row(credential, outcome, status):
    began = timezone.now()

    assert ask(10, credential) == [status] * 10

    assert rows().count() == 3
    close()
    counted = rows().get(method="")
    assert counted.outcome == outcome
    assert counted.number == 7
    assert counted.ip == "192.0.2.1"
    assert counted.at == began
    assert (counted.path, counted.api_key, counted.user_agent, counted.user) == ("", "", "", None)
    assert usage_of(rows(), days=1).outcomes == {outcome: 10}


def test_requests_after_too_many_failures_are_counted_too(settings):
    settings.FRAPPE_TOKENS |= {"FAILURE_LIMIT": "5/hour"}

    ask(10, MADE_UP)
    process.write_counts()

    outcomes = rows(method="").values_list("outcome", "number")
    assert dict(outcomes) == {"invalid_credentials": 2, "too_many_failures": 5}


def test_requests_with_a_correct_secret_are_always_written(keys):
    ask(5)

    assert ask(5, token_header(keys)) == [200] * 5
    revoke(keys.instance)
    assert ask(5, token_header(keys)) == [401] * 5

    process.write_counts()
    assert rows(outcome="accepted").count() == 5
    assert rows(outcome="key_revoked").count() == 5
    assert rows(outcome="other").aggregate(Sum("number")) == {"number__sum": 5}


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ([(0, 5), (1, 5)], 6),
        ([(0, 5), (-60, 5)], 6),
        # By a thread that has read the clock before.
        ([(0, 2), (1, 1), (0, 1), (1, 2)], 5),
    ],
    ids=["next minute", "clock set back", "late thread"],
)
def test_each_minute_has_its_own_limit(asked, written):
    start = timezone.now()

    for minutes, times in asked:
        with time_machine.travel(start + timedelta(minutes=minutes), tick=False):
            ask(times)
    process.write_counts()

    assert rows(method="GET").count() == written
    assert rows().aggregate(Sum("number")) == {"number__sum": sum(times for _, times in asked)}


@pytest.mark.parametrize(("limit", "written"), [(None, 10), (0, 0)])
def test_limit_may_be_none_or_zero(settings, limit, written):
    settings.FRAPPE_TOKENS |= {"REQUEST_LOG_LIMIT": limit}

    ask(10)

    assert rows(method="GET").count() == written


def test_addresses_are_counted_by_themselves_and_ipv6_by_network():
    ask(5, ip="192.0.2.1")
    ask(5, ip="192.0.2.2")
    for host in range(5):
        ask(1, ip=f"2001:db8:1:2::{host}")
    ask(5, ip="unix")
    process.write_counts()

    assert rows(method="GET").count() == 12
    counted = dict(rows(method="").values_list("ip", "number"))
    assert counted == {"192.0.2.1": 2, "192.0.2.2": 2, "2001:db8:1:2::": 2, None: 2}


def test_all_addresses_together_have_a_limit():
    for number in range(400):
        log_one(f"192.0.2.{number % 250}", f"/{number}")

    assert rows().count() == 3 * ADDRESSES
    process.write_counts()
    assert rows().aggregate(Sum("number")) == {"number__sum": 400}


def test_counts_of_many_addresses_have_a_limit(settings, monkeypatch):
    settings.FRAPPE_TOKENS |= {"REQUEST_LOG": f"{__name__}.Shipper", "REQUEST_LOG_LIMIT": 0}
    others = 70

    for number in range(COUNTS_MAX + others):
        log_one(f"198.51.{number // 250}.{number % 250}")
    process.write_counts()

    entries = current_sink().entries
    assert len(entries) == COUNTS_MAX + 1
    by_address = {entry.ip: entry.number for entry in entries}
    assert by_address.pop(None) == others
    assert set(by_address.values()) == {1}


def test_processes_share_the_limit():
    ask(2)
    process.reset()  # as in another process
    ask(3)

    assert rows(method="GET").count() == 3


@pytest.mark.parametrize("cache", ["away", "forgetful"])
def test_each_process_has_the_limit_without_the_cache(settings, monkeypatch, caplog, cache):
    if cache == "away":
        monkeypatch.setattr(unproven, "caches", {"default": Away()})
    else:
        settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}

    ask(5)

    assert rows().count() == 3
    reported = [message for message in caplog.messages if "request log" in message]
    assert len(reported) == (cache == "away")


def test_counts_are_written_when_the_minute_ends(settings, monkeypatch):
    def refuse(timer):
        raise RuntimeError("can't start new thread")

    settings.FRAPPE_TOKENS |= {"REQUEST_LOG_LIMIT": 0}
    monkeypatch.setattr(unproven, "SECONDS", 0.2)
    monkeypatch.setattr(threading.Timer, "start", refuse)
    ask(1)
    monkeypatch.setattr(threading.Timer, "start", START)

    with time_machine.travel(timezone.now(), tick=True):
        ask(2)
        wait_until(lambda: rows(method="").aggregate(Sum("number")) == {"number__sum": 3})

    wait_until(
        lambda: "frappe_tokens request counts" not in [t.name for t in threading.enumerate()]
    )


def test_requests_while_counts_are_written_wait_for_the_next_minute(settings):
    settings.FRAPPE_TOKENS |= {"REQUEST_LOG": f"{__name__}.Shipper", "REQUEST_LOG_LIMIT": 0}
    log_one("192.0.2.1")
    log_one("192.0.2.2")
    sink = current_sink()

    def write_while_requests_come(entry):
        sink.entries.append(entry)
        if len(sink.entries) <= 2:
            log_one(entry.ip)

    sink.write = write_while_requests_come
    for minute in (1, 2):
        process.write_counts()
        assert [entry.ip for entry in sink.entries] == ["192.0.2.1", "192.0.2.2"] * minute


def test_counts_of_a_slow_log_survive_the_end_of_the_process(settings):
    settings.FRAPPE_TOKENS |= {"REQUEST_LOG": f"{__name__}.Shipper", "REQUEST_LOG_LIMIT": 0}
    for number in range(3):
        log_one(f"192.0.2.{number}")
    sink = current_sink()

    def write_while_the_process_ends(entry):
        sink.write = sink.entries.append
        process.write_counts()  # by the exit handler
        sink.entries.append(entry)

    sink.write = write_while_the_process_ends
    process.write_counts()

    assert {entry.ip for entry in sink.entries} == {"192.0.2.0", "192.0.2.1", "192.0.2.2"}


def test_null_log_stores_nothing_and_uses_no_cache(settings, keys, monkeypatch, caplog):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": "null"}
    monkeypatch.setattr(unproven, "caches", {"default": Away()})

    assert ask(5) == [401] * 5
    assert ask(1, token_header(keys)) == [200]
    asyncio.run(AsyncClient().get(URL, headers={"Authorization": "Other x"}))

    assert [message for message in caplog.messages if "request log" in message] == []
    assert not rows().exists()


class Slow(LocMemCache):
    """It notes the threads that wait for it."""

    threads = []

    def add(self, *args, **kwargs):
        self.threads.append(threading.current_thread())
        return super().add(*args, **kwargs)


def test_event_loop_does_not_wait_for_the_cache(settings, monkeypatch):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": "buffered"}
    monkeypatch.setattr(unproven, "caches", {"default": Slow("slow", {})})

    asyncio.run(AsyncClient().get(URL, headers={"Authorization": "Other x"}))

    assert Slow.threads
    assert threading.current_thread() not in Slow.threads
    current_sink().close()


def test_refusal_by_a_decorator_keeps_what_was_proven(keys, rf):
    request = rf.get("/")
    set_outcome(request, Outcome(keys.instance))

    report_failure(Refused(Reason.INSUFFICIENT_SCOPE), RequestInfo(request))

    assert not process.applies_to(request)
    assert get_outcome(request).refused.reason is Reason.INSUFFICIENT_SCOPE


def test_sink_that_fails_is_reported_once(settings, monkeypatch, caplog):
    settings.FRAPPE_TOKENS |= {"REQUEST_LOG": f"{__name__}.Shipper"}
    ask(5)
    ask(5, "token nonsense")
    monkeypatch.setattr(Shipper, "write", Sink.write)

    process.write_counts()

    assert caplog.messages.count("Counted requests can't be logged.") == 1


def test_threads_count_every_request():
    def many():
        for _ in range(50):
            log_one("192.0.2.1")
        connection.close()

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    process.write_counts()

    assert rows().aggregate(Sum("number")) == {"number__sum": 200}
    assert rows(method="GET").count() <= 3
