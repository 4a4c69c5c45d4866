"""The examples of the page: the durable log's own connection, and the consumer of the stream."""

import re
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
from django.db import connection, connections, transaction

from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log import Entry
from frappe_tokens.request_log.sinks import DurableSink

from ..groups import leave_out
from .conftest import an_entry, logged_paths, wait_until
from .processes import PROJECT, environment

REFERENCE = PROJECT / "docs" / "reference"
NAMES = ["request-log.md", "large-request-logs.md"]
PAGES = "".join((REFERENCE / name).read_text() for name in NAMES)


def examples(heading):
    (section,) = re.findall(rf"^##+ {heading}\n(.*?)(?=^##+ |\Z)", PAGES, re.MULTILINE | re.DOTALL)
    return re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


def run(names, *sources):
    for source in sources:
        exec(compile(source, "example", "exec"), names)  # noqa: S102 - our own documentation
    return names


@pytest.fixture
def log_connection(transactional_db, settings):
    """The connection of the example, for which the log's rows are."""
    if connection.vendor != "postgresql":
        leave_out("PostgreSQL", "synchronous_commit is its own", in_ci_too=True)
    names = run({"DATABASES": {"default": connection.settings_dict}}, *examples("durable"))
    assert names["DATABASE_ROUTERS"] == ["logs.RequestLogRouter"]
    settings.DATABASE_ROUTERS = [names["RequestLogRouter"]()]
    connections["log"] = type(connections["default"])(names["DATABASES"]["log"], "log")
    yield connections["log"]
    connections["log"].close()
    del connections["log"]


def does_not_wait_for_the_disk(chosen):
    with chosen.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        return cursor.fetchone() == ("off",)


def test_only_the_log_does_not_wait_for_the_disk(log_connection):
    DurableSink().write(an_entry("/logged"))

    assert log_connection.connection is not None
    assert does_not_wait_for_the_disk(log_connection)
    assert not does_not_wait_for_the_disk(connection)
    assert logged_paths() == ["/logged"]


@pytest.fixture
def consumer(transactional_db, settings, stream, redis_url):
    """What the examples define, for a stream of the test's own."""
    settings.REDIS_URL = redis_url
    sink, command = examples("A stream in Redis")
    names = run({}, sink, command)
    assert names["Stream"].stream == names["STREAM"] == "frappe_tokens:request_log"
    names["Stream"].stream = names["STREAM"] = stream
    return names


@pytest.fixture
def sink(consumer):
    sink = consumer["Stream"]()
    yield sink
    sink.close()


@pytest.fixture
def store(consumer, redis):
    """Stores what is in the stream now, as one of the consumers."""
    redis.xgroup_create(consumer["STREAM"], consumer["GROUP"], id="0", mkstream=True)

    def store_next(consumer_name="first", idle=60_000):
        consumer.update(CONSUMER=consumer_name, IDLE=idle)
        consumer["Command"]().store_next(redis)

    return store_next


class Crash(Exception):
    """Ends a consumer."""


def test_consumer_stores_what_requests_wrote(sink, store, redis, stream, consumer):
    entries = [an_entry(f"/{number}", user_id=number) for number in range(700)]
    entries += [an_entry("", method="", ip=None, api_key="", number=7, outcome="other")]
    for entry in entries:
        sink.write(entry)
    sink.flush()

    for _ in range(2):
        store()

    stored = ApiRequestLog.objects.order_by("pk").values_list(*Entry._fields)
    assert [Entry(*row) for row in stored] == entries
    assert redis.xlen(stream) == 0
    assert redis.xpending(stream, consumer["GROUP"])["pending"] == 0
    store()  # nothing is new


def test_consumer_that_crashes_before_it_acknowledges_doubles_no_row(sink, store, redis, stream):
    for path in ("/first", "/second"):
        sink.write(an_entry(path))
    sink.flush()

    def crash(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if "INSERT" in sql:
            transaction.on_commit(raise_crash)
        return result

    def raise_crash():
        raise Crash

    with connection.execute_wrapper(crash), pytest.raises(Crash):
        store("crashes")
    assert logged_paths() == ["/first", "/second"]
    assert redis.xlen(stream) == 2

    store("other", idle=0)

    assert logged_paths() == ["/first", "/second"]
    assert redis.xlen(stream) == 0


def test_consumer_that_cannot_store_leaves_entries_to_the_next(sink, store, redis, stream):
    sink.write(an_entry("/kept"))
    sink.flush()

    def refuse(execute, sql, params, many, context):
        if "INSERT" in sql:
            raise Crash
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse), pytest.raises(Crash):
        store("crashes")
    assert logged_paths() == []

    store("other", idle=0)

    assert logged_paths() == ["/kept"]
    assert redis.xlen(stream) == 0


@pytest.mark.process
def test_killed_consumers_lose_and_double_no_row(sink, redis, stream, redis_url, tmp_path):
    source = examples("A stream in Redis")[1].replace("frappe_tokens:request_log", stream)
    program = f"""
import os

import django

django.setup()
from django.conf import settings

settings.REDIS_URL = os.environ["REDIS_URL"]
{source.replace("60_000", "200")}
Command().handle()
"""
    file = Path(tmp_path, "store.py")
    file.write_text(program)
    numbers = count()

    def start():
        environ = {**environment("null"), "REDIS_URL": redis_url}
        return subprocess.Popen([sys.executable, file], cwd=PROJECT, env=environ)

    for _ in range(3):
        for _ in range(2000):
            sink.write(an_entry(f"/{next(numbers)}"))
        sink.flush()
        before, process = ApiRequestLog.objects.count(), start()
        try:
            wait_until(lambda before=before: ApiRequestLog.objects.count() > before)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    process = start()
    try:
        wait_until(lambda: redis.xlen(stream) == 0)
    finally:
        process.kill()
        process.wait()

    assert sorted(logged_paths()) == sorted(f"/{number}" for number in range(next(numbers)))
