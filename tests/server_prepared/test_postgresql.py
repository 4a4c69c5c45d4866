"""What PostgreSQL alone does with the statement, and where it is left alone there."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, connections, transaction

from frappe_tokens.keys import GeneratedKeys
from frappe_tokens.models import ApiKey

from ..groups import leave_out
from .clients import TABLE, Wrapped, connected, execute, executions, find, lose

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def postgresql(new_process: None) -> None:
    if connection.vendor != "postgresql":
        leave_out("PostgreSQL", "has a syntax of its own to prepare", in_ci_too=True)


def test_each_tenant_finds_keys_in_its_own_schema(client: Any, keys: GeneratedKeys) -> None:
    execute(client, "CREATE SCHEMA tenant")
    try:
        for name in (TABLE, "auth_user"):
            execute(client, f"CREATE TABLE tenant.{name} AS TABLE {name}")
        execute(client, "SET search_path TO tenant")
        execute(client, f"UPDATE {TABLE} SET read_only = true")
        for _ in range(8):
            for path, read_only in (("public", False), ("tenant, public", True)):
                execute(client, f"SET search_path TO {path}")
                assert find(client, keys.api_key).read_only is read_only
        assert executions(client) == [15]
    finally:
        execute(client, "DROP SCHEMA tenant CASCADE")


def tenants_tables() -> None:
    """Tables of the same names, empty, in an earlier schema, made by another connection."""
    for name in (TABLE, "auth_user"):
        execute(connection, f"CREATE TABLE tenant.{name} (LIKE public.{name})")


def test_what_the_server_does_not_notice_ends_within_a_minute(
    client: Any, keys: GeneratedKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(client, "CREATE SCHEMA tenant")
    execute(client, "SET search_path TO tenant, public")
    try:
        for _ in range(3):
            assert find(client, keys.api_key) == keys.instance
        tenants_tables()
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 60)
        assert find(client, keys.api_key) is None
        assert executions(client) == [1]
        assert find(client, keys.api_key) is None
        assert executions(client) == [2]
    finally:
        execute(connection, "DROP SCHEMA tenant CASCADE")


# Where it is left alone


@pytest.mark.parametrize(
    "options",
    [
        {"OPTIONS": {"server_side_binding": True}},
        {"OPTIONS": {"options": "-c search_path=public"}},
    ],
)
def test_settings_of_the_database_rule_it_out(keys: GeneratedKeys, options: dict[str, Any]) -> None:
    with connected(**options) as client:
        for _ in range(4):
            assert find(client, keys.api_key) == keys.instance
        assert executions(client) == []


def test_connection_of_tenants_rules_it_out(keys: GeneratedKeys) -> None:
    present = connections["default"]
    kind = type("Tenants", (type(present),), {"schema_name": "public"})  # as django-tenants has it
    client = kind(present.copy().settings_dict)
    try:
        for _ in range(4):
            assert find(client, keys.api_key) == keys.instance
        assert executions(client) == []
    finally:
        client.close()


def test_transaction_that_django_does_not_know_of_lives_on(
    client: Any, keys: GeneratedKeys
) -> None:
    for _ in range(3):
        find(client, keys.api_key)
    lose(client)
    execute(client, "BEGIN")
    assert find(client, keys.api_key) == keys.instance
    execute(client, "UPDATE auth_user SET first_name = 'Ada'")
    execute(client, "COMMIT")
    keys.instance.user.refresh_from_db()
    assert keys.instance.user.first_name == "Ada"


def test_driver_that_does_not_tell_of_transactions_is_left_alone(
    client: Any, keys: GeneratedKeys
) -> None:
    class Silent(Wrapped):
        pgconn = info = None

    client.ensure_connection()
    client.connection = Silent(client.connection)
    for _ in range(4):
        assert find(client, keys.api_key) == keys.instance
    assert executions(client) == []


def test_within_a_transaction_the_select_is_sent(
    keys: GeneratedKeys, settings: Any, django_assert_num_queries: Any
) -> None:
    for _ in range(3):
        find(connection, keys.api_key)
    # As behind a pooler, where an error would be the end of the transaction.
    lose(connection)
    with transaction.atomic():
        assert find(connection, keys.api_key) == keys.instance
        assert find(connection, keys.api_key) == keys.instance
    connection.set_autocommit(False)
    try:
        assert find(connection, keys.api_key) == keys.instance
        connection.rollback()
    finally:
        connection.set_autocommit(True)


# Where the server does not have it


def changed(client: Any) -> None:
    execute(client, f"ALTER TABLE {TABLE} ALTER rate_limit TYPE text")


def of_a_type_that_is_gone(client: Any) -> None:
    # By others, so that this connection's plans are what they were.
    execute(connection, f"ALTER TABLE {TABLE} ALTER api_key TYPE varchar(64)")
    execute(connection, "DROP EXTENSION citext")


@pytest.fixture
def citext() -> Iterator[None]:
    """API keys are of a type that an extension brings."""
    execute(connection, "CREATE EXTENSION citext")
    execute(connection, f"ALTER TABLE {TABLE} ALTER api_key TYPE citext")
    yield
    execute(connection, f"ALTER TABLE {TABLE} ALTER api_key TYPE varchar(64)")
    execute(connection, "DROP EXTENSION IF EXISTS citext")


@pytest.mark.usefixtures("citext")
@pytest.mark.parametrize("happens", [lose, changed, of_a_type_that_is_gone])
def test_statement_that_is_lost_is_done_without(
    client: Any,
    keys: GeneratedKeys,
    happens: Callable[[Any], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    kind = ApiKey._meta.get_field("rate_limit").db_type(client)
    caplog.set_level(logging.INFO, "frappe_tokens")
    for _ in range(3):
        find(client, keys.api_key)
    happens(client)
    try:
        before = executions(client)
        for _ in range(4):
            assert find(client, keys.api_key) == keys.instance
        assert executions(client) == before
    finally:
        execute(client, f"ALTER TABLE {TABLE} ALTER rate_limit TYPE {kind}")
    (message,) = caplog.messages
    assert "DISABLE_SERVER_SIDE_CURSORS" in message
    assert keys.api_key not in message
