"""The statement as PostgreSQL and MariaDB keep it: what it brings, and when it is done without."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, ProgrammingError, connection, connections

from frappe_tokens import lookup, prepared, server_prepared
from frappe_tokens.base_models import AbstractApiKey
from frappe_tokens.keys import GeneratedKeys
from frappe_tokens.models import ApiKey

from ..instances import described
from ..test_prepared import PREPARED, by_queryset, full
from .clients import TABLE, Wrapped, connected, execute, executed, find, impatient, kill, lose

pytestmark = pytest.mark.django_db(transaction=True)


def test_server_prepares_it_at_a_connections_second_use(client: Any, keys: GeneratedKeys) -> None:
    for expected in range(4):
        assert find(client, keys.api_key) == keys.instance
        assert executed(client) == expected


def test_each_connection_has_its_own(client: Any, keys: GeneratedKeys) -> None:
    for _ in range(3):
        find(client, keys.api_key)
    with connected() as other:
        for expected in range(3):
            assert find(other, keys.api_key) == keys.instance
            assert executed(other) == expected
    client.close()
    for expected in range(3):
        assert find(client, keys.api_key) == keys.instance
        assert executed(client) == expected


@pytest.mark.parametrize("model", PREPARED)
def test_brings_what_a_queryset_brings(
    client: Any, model: type[AbstractApiKey], make_user: Callable[..., Any]
) -> None:
    key = full(model, make_user("ada"))
    other = model._base_manager.create(user=make_user("bob"))
    for _ in range(8):  # on PostgreSQL custom plans at first, then a generic one
        for api_key in (key.api_key, other.api_key):
            found = find(client, api_key, model)
            assert described(found) == described(by_queryset(model, api_key))
        assert find(client, "ftk_nobodys", model) is None
        assert find(client, "' OR ''='", model) is None
    assert executed(client) == 31


def test_finds_a_key_in_its_own_case_alone(client: Any, keys: GeneratedKeys) -> None:
    for _ in range(3):
        assert find(client, keys.api_key.swapcase()) is None
    assert executed(client) == 2


def test_sees_what_is_committed_meanwhile(client: Any, keys: GeneratedKeys) -> None:
    for read_only in (True, False, True, False):
        ApiKey.objects.update(read_only=read_only)
        assert find(client, keys.api_key).read_only is read_only
    ApiKey.objects.all().delete()
    assert find(client, keys.api_key) is None
    assert executed(client) == 4


_SENT = {
    "postgresql": ["PREPARE EXECUTE", "EXECUTE", "EXECUTE", "DEALLOCATE PREPARE EXECUTE"],
    "mysql": ["PREPARE", "EXECUTE", "EXECUTE", "EXECUTE", "PREPARE", "EXECUTE"],
}
_SECONDS = {"postgresql": 60, "mysql": 3600}


def test_it_is_prepared_anew_from_time_to_time(
    client: Any, keys: GeneratedKeys, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now, seconds = time.monotonic(), _SECONDS[client.vendor]
    for after in (0, 0, 0, seconds - 1, seconds):
        monkeypatch.setattr(time, "monotonic", lambda moment=now + after: moment)
        assert find(client, keys.api_key) == keys.instance
    assert sent == ["SELECT", *_SENT[client.vendor]]


# Where it is left alone


def test_settings_of_the_database_rule_it_out(keys: GeneratedKeys) -> None:
    with connected(DISABLE_SERVER_SIDE_CURSORS=True) as client:
        for _ in range(4):
            assert find(client, keys.api_key) == keys.instance
        assert executed(client) == 0


class ReadsFromReplica:
    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "replica"


@pytest.mark.django_db(transaction=True, databases=["default", "replica"])
@pytest.mark.parametrize("alias", ["default", "replica"])
def test_what_a_cache_takes_from_the_writing_database_is_its_statement(
    settings: Any, monkeypatch: pytest.MonkeyPatch, alias: str
) -> None:
    settings.DATABASE_ROUTERS = [ReadsFromReplica()]
    settings.FRAPPE_TOKENS = {"CACHE": "default"}
    for name in ("default", "replica"):
        monkeypatch.setitem(
            connections[name].settings_dict, "DISABLE_SERVER_SIDE_CURSORS", name == alias
        )
    for _ in range(4):
        assert lookup.find(ApiKey, "ftk_nobodys") is None
    assert executed(connections["default"]) == (0 if alias == "default" else 3)
    connections["default"].close()


def test_one_database_that_loses_it_is_no_other(client: Any, keys: GeneratedKeys) -> None:
    other = client.copy(alias="other")
    try:
        for _ in range(3):
            find(client, keys.api_key)
            find(other, keys.api_key)
        lose(client)
        for _ in range(3):
            assert find(client, keys.api_key) == keys.instance
            find(other, keys.api_key)
        assert executed(other) == 5
    finally:
        other.close()


def test_driver_that_cannot_be_remembered_is_left_alone(client: Any, keys: GeneratedKeys) -> None:
    client.ensure_connection()
    client.connection = Wrapped(client.connection)
    for _ in range(4):
        assert find(client, keys.api_key) == keys.instance
    assert executed(client) == 0


def test_whoever_looks_at_queries_sees_the_select(
    client: Any, keys: GeneratedKeys, settings: Any
) -> None:
    seen: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        return execute(sql, params, many, context)

    for _ in range(3):
        find(client, keys.api_key)
    with client.execute_wrapper(note):
        find(client, keys.api_key)
    settings.DEBUG = True
    find(client, keys.api_key)
    seen += [query["sql"] for query in client.queries]
    assert [sql.split()[0] for sql in seen] == ["SELECT", "SELECT"]


# Where the server does not have it


def test_statement_that_is_lost_is_done_without(
    client: Any, keys: GeneratedKeys, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "frappe_tokens")
    for _ in range(3):
        find(client, keys.api_key)
    lose(client)
    assert find(client, keys.api_key) == keys.instance
    before = executed(client)
    for _ in range(4):
        assert find(client, keys.api_key) == keys.instance
    assert executed(client) == before
    (message,) = caplog.messages
    assert "DISABLE_SERVER_SIDE_CURSORS" in message
    assert keys.api_key not in message


def test_statement_that_another_prepared_is_the_same(client: Any, keys: GeneratedKeys) -> None:
    for _ in range(3):
        find(client, keys.api_key)
    # Another process, which a pooler gives the same connection of the server.
    prepared._prepared.clear()
    server_prepared._shared.cache_clear()
    before = executed(client)
    for _ in range(4):
        assert find(client, keys.api_key) == keys.instance
    assert executed(client) > before + 1


@pytest.mark.parametrize("uses", [1, 3], ids=["before it is prepared", "after"])
def test_error_about_the_table_passes_with_it(client: Any, keys: GeneratedKeys, uses: int) -> None:
    for _ in range(uses):
        find(client, keys.api_key)
    execute(connection, f"ALTER TABLE {TABLE} RENAME TO elsewhere")
    try:
        with pytest.raises(ProgrammingError, match=TABLE):
            find(client, keys.api_key)
    finally:
        execute(connection, f"ALTER TABLE elsewhere RENAME TO {TABLE}")
    before = executed(client)
    assert find(client, keys.api_key) == keys.instance
    assert executed(client) == before + 1


@pytest.mark.parametrize("uses", [1, 3], ids=["before it is prepared", "after"])
def test_error_of_another_kind_is_the_statements(
    client: Any, keys: GeneratedKeys, uses: int
) -> None:
    for _ in range(uses):
        find(client, keys.api_key)
    with impatient(client), pytest.raises(OperationalError, match=r"(?i)lock .*timeout"):
        find(client, keys.api_key)
    before = executed(client)
    assert find(client, keys.api_key) == keys.instance
    assert executed(client) == before + 1


def test_renewal_that_fails_for_the_moment_is_made_up_for(
    client: Any, keys: GeneratedKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        find(client, keys.api_key)
    later = time.monotonic() + _SECONDS[client.vendor]
    with monkeypatch.context() as patch, impatient(client):
        patch.setattr(time, "monotonic", lambda: later)
        with pytest.raises(OperationalError, match=r"(?i)lock .*timeout"):
            find(client, keys.api_key)
    before = executed(client)
    for more in (1, 2):
        assert find(client, keys.api_key) == keys.instance
        assert executed(client) == before + more


def test_broken_connection_is_an_error_as_ever(client: Any, keys: GeneratedKeys) -> None:
    for _ in range(3):
        find(client, keys.api_key)
    kill(client)
    with pytest.raises(OperationalError):
        find(client, keys.api_key)
    client.close()
    for _ in range(3):
        assert find(client, keys.api_key) == keys.instance
    assert executed(client) == 2
