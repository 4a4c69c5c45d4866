"""The durable log: a row is there before the answer is."""

import time

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from frappe_tokens.db import LOCK_SECONDS
from frappe_tokens.request_log import sinks
from frappe_tokens.request_log.sinks import DurableSink

from ..conftest import token_header
from .conftest import TABLE, an_entry, logged_paths, table_gone, table_locked

URL = "/api/method/frappe.auth.get_logged_user"


@pytest.mark.django_db(transaction=True)
def test_a_request_costs_one_insert(client, keys):
    headers = {"Authorization": token_header(keys)}
    client.get(URL, headers=headers)  # and its last use is noted
    with CaptureQueriesContext(connection) as captured:
        client.get(URL, headers=headers)
    about_keys, about_the_log = (query["sql"] for query in captured)
    assert about_keys.startswith("SELECT")
    assert f"INSERT INTO {connection.ops.quote_name(TABLE)}" in about_the_log


@pytest.mark.django_db(transaction=True)
def test_is_one_statement_outside_a_transaction(
    django_assert_num_queries,
):
    sink = DurableSink()
    sink.write(an_entry("/first"))
    with django_assert_num_queries(1):
        sink.write(an_entry("/second"))
    assert logged_paths() == ["/first", "/second"]


@pytest.mark.django_db(transaction=True)
def test_says_once_how_many_are_lost(caplog):
    sink = DurableSink()
    with table_gone():
        for _ in range(20):
            sink.write(an_entry("/lost"))
    sink.write(an_entry("/written"))
    assert logged_paths() == ["/written"]
    (complaint,) = caplog.records
    assert "This process has lost 1 so far." in complaint.getMessage()
    assert complaint.exc_info is not None


@pytest.mark.django_db(transaction=True)
def test_rests_after_a_long_wait_for_nothing(monkeypatch, caplog):
    sink = DurableSink()
    with table_locked():
        began = time.monotonic()
        sink.write(an_entry("/waited"))
        waited = time.monotonic() - began
        assert waited >= LOCK_SECONDS / 2
        began = time.monotonic()
        for _ in range(100):
            sink.write(an_entry("/not tried"))
        assert time.monotonic() - began < waited
    sink.write(an_entry("/resting still"))
    assert logged_paths() == []
    monkeypatch.setattr(sinks, "REST", 0)
    sink = DurableSink()
    with table_locked():
        sink.write(an_entry("/waited"))
    sink.write(an_entry("/rested"))
    assert logged_paths() == ["/rested"]
    assert len(caplog.records) == 2
