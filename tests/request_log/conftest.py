"""Entries, and what may happen to the table of the log."""

import os
import secrets
import time
from contextlib import suppress
from functools import partial

import pytest
from django.utils import timezone

from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log import Entry, sinks
from frappe_tokens.request_log.buffered import BufferedSink

from ..groups import leave_out
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


@pytest.fixture
def redis_url():
    """The URL of the tests' Redis."""
    url = os.environ.get("REDIS_URL")
    if not url:
        leave_out("Redis", "REDIS_URL names none", in_ci_too=True)
    return url


@pytest.fixture
def redis(redis_url):
    from redis import Redis

    with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def stream(redis):
    """The key of a stream that no other test has."""
    stream = f"tests:{secrets.token_hex(8)}"
    yield stream
    for key in redis.scan_iter(match=f"*{stream}*", count=1000):
        redis.delete(key)


@pytest.fixture
def new_stream(stream):
    """Makes sinks of this stream: ``new_stream(url, maxlen=10)``."""
    from frappe_tokens.contrib.redis_streams import RedisStreamSink

    class Stream(RedisStreamSink):
        def connect(self):
            client = super().connect()
            client.connection_pool.connection_kwargs["client_name"] = stream
            return client

    def make(url, **attributes):
        return type("Stream", (Stream,), {"url": url, "stream": stream, **attributes})()

    return make


@pytest.fixture
def in_stream(redis, stream):
    """The fields of the stream's entries, in their order."""
    return lambda: [fields for _, fields in redis.xrange(stream)]


@pytest.fixture
def paths(in_stream):
    """The paths in the stream, in their order."""
    return lambda: [fields["path"] for fields in in_stream()]
