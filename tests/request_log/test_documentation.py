"""The examples of the documentation of the durable log."""

import re
from pathlib import Path

import pytest
from django.db import connection, connections

from frappe_tokens.request_log.sinks import DurableSink

from ..groups import leave_out
from .conftest import an_entry, logged_paths

PAGE = Path(__file__).parents[2] / "docs" / "request-log.md"


def examples():
    section = PAGE.read_text().split("\n### durable\n")[1].split("\n### ")[0]
    return re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


@pytest.fixture
def log_connection(transactional_db, settings):
    """The connection of the example, for which the log's rows are."""
    if connection.vendor != "postgresql":
        leave_out("PostgreSQL", "synchronous_commit is its own", in_ci_too=True)
    names = {"DATABASES": {"default": connection.settings_dict}}
    for source in examples():
        exec(compile(source, PAGE.name, "exec"), names)  # noqa: S102 - our own documentation
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
