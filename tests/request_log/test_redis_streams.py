"""The log as a stream in Redis: nothing waits for it, and nothing is lost or doubled."""

import logging
import threading
import time
from collections import Counter

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log import batches, current_sink, insertion, sinks
from frappe_tokens.request_log.batches import BATCH

from ..conftest import token_header
from .conftest import an_entry, wait_until
from .redis_proxy import Proxy

URL = "/api/method/frappe.auth.get_logged_user"


@pytest.fixture
def proxy(redis_url):
    proxy = Proxy(redis_url)
    yield proxy
    if proxy._listener is not None:
        proxy.stop()


@pytest.fixture
def sink(new_stream, proxy):
    sink = new_stream(proxy.url)
    yield sink
    sink.close()


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(batches, "PERIOD", 0.01)
    monkeypatch.setattr(batches, "PAUSE_MAX", 0.05)


def write(sink, *paths):
    for path in paths:
        sink.write(an_entry(path))


def numbered(count):
    return [f"/{number}" for number in range(count)]


def test_entries_are_in_the_stream_with_all_that_they_say(sink, in_stream):
    entry = an_entry("/api/", user_id=7, ip=None, number=3)
    sink.write(entry)
    write(sink, "/second")
    sink.flush()

    first, second = in_stream()
    assert first.pop("entry_id") == f"{sink._process}-1"
    assert first == {
        name: str(value) for name, value in entry._asdict().items() if value is not None
    } | {"at": entry.at.isoformat()}
    assert second["entry_id"] == f"{sink._process}-2"
    assert second["ip"] == "192.0.2.7"
    assert "user_id" not in second


def test_text_that_is_no_text_stops_no_other(sink, in_stream, paths):
    write(sink, "/\udcff", "/next")
    sink.flush()

    assert paths() == ["/?", "/next"]


@pytest.mark.django_db
def test_request_is_in_the_stream_without_its_secret(settings, keys, sink, in_stream, monkeypatch):
    name = f"{__name__}.Stream"
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": name}
    monkeypatch.setitem(sinks._sinks, name, sink)

    response = Client().get(URL, headers={"Authorization": token_header(keys)})
    current_sink().close()

    assert response.status_code == 200
    (entry,) = in_stream()
    assert entry["path"] == URL
    assert entry["user_id"] == str(keys.instance.user.pk)
    assert entry["api_key"] == keys.api_key
    assert keys.api_secret not in str(entry)
    assert not ApiRequestLog.objects.exists()


def test_writing_does_not_wait_for_redis(sink, proxy, paths, quick, caplog):
    proxy.is_silent = True
    assert sink.blocks is False

    for path in numbered(BATCH):
        started = time.monotonic()
        write(sink, path)
        assert time.monotonic() - started < 1  # a third of what a batch waits for Redis
    wait_until(lambda: caplog.messages)
    proxy.is_silent = False
    wait_until(lambda: paths() == numbered(BATCH))


def test_order_stays_and_all_arrive_while_connections_are_killed(sink, redis, paths, quick, caplog):
    wanted = numbered(4 * BATCH)
    ends = threading.Event()

    def kill():
        while not ends.is_set():
            for client in redis.client_list():
                if client["name"] == sink.stream:
                    redis.client_kill_filter(_id=client["id"])
            time.sleep(0.002)

    killer = threading.Thread(target=kill)
    killer.start()
    for start in range(0, len(wanted), 20):
        write(sink, *wanted[start : start + 20])
        time.sleep(0.005)
    ends.set()
    killer.join()
    wait_until(lambda: not sink._waiting)

    assert paths() == wanted


def test_batch_whose_reply_is_lost_is_sent_again_and_stored_once(sink, proxy, paths, quick, caplog):
    wanted = numbered(3 * BATCH)
    proxy.lost_replies = 5

    for start in range(0, len(wanted), 100):
        write(sink, *wanted[start : start + 100])
        time.sleep(0.02)

    wait_until(lambda: not sink._waiting)
    assert proxy.lost_replies == 0
    assert paths() == wanted
    assert "can't be written" in caplog.messages[0]
    sink.close()
    assert len(caplog.messages) == 1


def test_doubled_entry_has_the_same_id(sink, proxy, redis, in_stream, quick):
    """Redis forgot how far the process got, and the process doesn't know that it got there."""
    sink.disconnect = lambda: redis.delete(f"{{{sink.stream}}}:{sink._process}")
    proxy.lost_replies = 1

    write(sink, "/doubled")
    wait_until(lambda: len(in_stream()) == 2)

    (entry_id, number), *others = Counter(entry["entry_id"] for entry in in_stream()).items()
    assert (entry_id, number, others) == (f"{sink._process}-1", 2, [])


def test_entries_wait_while_redis_is_away(sink, proxy, paths, quick, caplog):
    write(sink, "/before")
    wait_until(lambda: paths() == ["/before"])

    with proxy.away():
        write(sink, "/first")
        wait_until(lambda: caplog.messages)
        write(sink, "/second")

    wait_until(lambda: paths() == ["/before", "/first", "/second"])
    (record,) = caplog.records
    assert record.name == "frappe_tokens.request_log.batches"
    assert "can't be written, and 1 rows wait" in record.getMessage()
    assert record.exc_info is not None


def test_full_buffer_drops_entries_and_counts_them(sink, proxy, paths, monkeypatch, caplog):
    monkeypatch.setattr(batches, "CAPACITY", 3)

    with proxy.away():
        write(sink, *"12345")
        sink.close()

    assert "has a full buffer of 3 rows." in caplog.messages[0]
    assert caplog.messages[-1] == "5 requests are not in the request log."
    sink.flush()
    assert paths() == ["1", "2", "3"]


def test_full_stream_loses_its_oldest_entries_and_counts_them(new_stream, redis_url, paths, caplog):
    sink = new_stream(redis_url, maxlen=200)
    wanted = numbered(1000)

    write(sink, *wanted)
    sink.close()

    left = paths()
    assert 200 <= len(left) <= 300  # Redis removes entries by the hundred
    assert left == wanted[-len(left) :]
    assert "has a full stream of 200 entries." in caplog.messages[0]
    assert caplog.messages[-1] == f"{1000 - len(left)} requests are not in the request log."


def test_stream_may_be_without_bounds(new_stream, redis_url, paths):
    sink = new_stream(redis_url, maxlen=None)
    write(sink, *numbered(1000))
    sink.close()

    assert len(paths()) == 1000


def test_thread_and_its_connection_end_without_entries(sink, redis, paths, quick, monkeypatch):
    monkeypatch.setattr(batches, "QUIET", 0.01)

    for wanted in (["/first"], ["/first", "/second"]):
        write(sink, wanted[-1])
        wait_until(lambda wanted=wanted: paths() == wanted and sink._thread is None)

    wait_until(lambda: sink.stream not in [client["name"] for client in redis.client_list()])


def test_forked_process_starts_empty_and_under_another_name(sink, in_stream, monkeypatch):
    def fail(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        write(sink, "/parent's, which the child leaves to it")
    parent = sink._process

    batches._after_fork()
    write(sink, "/child")
    sink.close()

    (entry,) = in_stream()
    assert entry["path"] == "/child"
    assert entry["entry_id"] == f"{sink._process}-1"
    assert sink._process != parent


def test_project_in_its_tests_finds_entries_at_once(sink, paths, monkeypatch):
    monkeypatch.setattr(insertion, "is_test_run", lambda: True)

    write(sink, "/first", "/second")

    assert paths() == ["/first", "/second"]
    assert sink._thread is None


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "Stream.url is empty"),
        ("http://127.0.0.1", "Stream.url is not a valid URL"),
        ("redis://:pass/word@127.0.0.1:6379", "Stream.url is not a valid URL"),
    ],
)
def test_invalid_url_is_named_without_its_password(new_stream, url, message):
    with pytest.raises(ImproperlyConfigured, match=message) as raised:
        new_stream(url)

    assert "pass" not in str(raised.value)
    assert raised.value.__suppress_context__ or not url


def test_log_tells_no_password(new_stream, redis_url, log):
    sink = new_stream("redis://:made-up@127.0.0.1:1/0")
    write(sink, "/")
    sink.close()

    record = log.records[0]
    assert record.levelno == logging.ERROR
    assert "made-up" not in logging.Formatter().format(record)
