"""What MariaDB alone does with the statement, and where it is left alone there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from frappe_tokens.keys import GeneratedKeys, generate_keys
from frappe_tokens.models import ApiKey
from frappe_tokens.prepared import prepared_select
from frappe_tokens.server_dialects import MariaDB

from ..groups import leave_out
from .clients import TABLE, connected, execute, executed, find, lose

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def mariadb(new_process: None) -> None:
    present: Any = connection
    if present.vendor != "mysql" or not present.mysql_is_mariadb:
        leave_out("MariaDB", "has a syntax of its own to prepare", in_ci_too=True)


@pytest.fixture(params=["another name", "other letters"])
def tenant(keys: GeneratedKeys, request: pytest.FixtureRequest) -> Iterator[str]:
    """Another database with the same tables, whose key of the same name is read-only."""
    present = connection.settings_dict["NAME"]
    ((folds,),) = execute(connection, "SELECT @@lower_case_table_names")
    name = present.upper() if request.param == "other letters" and not folds else f"{present}_other"
    execute(connection, f"CREATE DATABASE {name}")
    try:
        for table in (TABLE, "auth_user"):
            execute(connection, f"CREATE TABLE {name}.{table} AS SELECT * FROM {table}")
        execute(connection, f"UPDATE {name}.{TABLE} SET read_only = true")
        yield name
    finally:
        execute(connection, f"DROP DATABASE {name}")


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("sql_mode", ["TRADITIONAL", ""])
def test_each_tenant_finds_keys_in_its_own_database(
    client: Any, keys: GeneratedKeys, tenant: str, before: int, sql_mode: str
) -> None:
    execute(client, f"SET SESSION sql_mode = '{sql_mode}'")
    for _ in range(before):
        assert find(client, keys.api_key).read_only is False
    for _ in range(4):
        for name, read_only in ((tenant, True), (client.settings_dict["NAME"], False)):
            execute(client, f"USE {name}")
            assert find(client, keys.api_key).read_only is read_only


def test_key_of_another_tenant_is_not_found(
    client: Any, keys: GeneratedKeys, tenant: str, make_user: Any
) -> None:
    other = generate_keys(make_user("bob"))  # which the tenant's database does not have
    for _ in range(3):
        assert find(client, other.api_key) == other.instance
    execute(client, f"USE {tenant}")
    assert find(client, other.api_key) is None


def test_nothing_is_prepared_in_another_database(
    client: Any, keys: GeneratedKeys, tenant: str, sent: list[str]
) -> None:
    find(client, keys.api_key)
    execute(client, f"USE {tenant}")
    assert find(client, keys.api_key).read_only is True
    assert sent == ["SELECT", "USE", "PREPARE", "SELECT"]


def test_clients_of_a_pooler_have_each_their_databases_statement(
    client: Any, keys: GeneratedKeys, tenant: str
) -> None:
    for _ in range(3):
        find(client, keys.api_key)
    statement: Any = prepared_select(ApiKey, client)
    sql = statement._sql.replace("%(api_key)s", "%s")
    # Another client, whose settings name that database, on the same connection of the server.
    execute(client, f"USE {tenant}")
    with client.cursor() as cursor:
        MariaDB(sql, "key", tenant).prepare(cursor, {"key": keys.api_key}, again=False)
        assert len(cursor.fetchall()) == 1
    execute(client, f"USE {client.settings_dict['NAME']}")
    assert find(client, keys.api_key).read_only is False
    assert executed(client) == 4


def test_database_may_have_capital_letters(keys: GeneratedKeys, tenant: str) -> None:
    with connected(NAME=tenant) as client:
        for expected in range(3):
            assert find(client, keys.api_key).read_only is True
            assert executed(client) == expected


def test_statement_is_not_prepared_to_read_the_past(
    client: Any, keys: GeneratedKeys, sent: list[str]
) -> None:
    execute(connection, f"ALTER TABLE {TABLE} ADD SYSTEM VERSIONING")
    try:
        find(client, keys.api_key)
        ((moment,),) = execute(client, "SELECT NOW(6)")
        ApiKey.objects.update(read_only=True)
        execute(client, f"SET system_versioning_asof = '{moment}'")
        assert find(client, keys.api_key).read_only is False
        execute(client, "SET system_versioning_asof = DEFAULT")
        assert find(client, keys.api_key).read_only is True
    finally:
        execute(connection, f"ALTER TABLE {TABLE} DROP SYSTEM VERSIONING")


def test_table_that_stands_in_front_is_noticed(client: Any, keys: GeneratedKeys) -> None:
    for _ in range(3):
        find(client, keys.api_key)
    execute(client, f"CREATE TEMPORARY TABLE {TABLE} AS SELECT * FROM {TABLE}")
    execute(client, f"UPDATE {TABLE} SET read_only = true")
    assert find(client, keys.api_key).read_only is True
    execute(client, f"DROP TEMPORARY TABLE {TABLE}")
    assert find(client, keys.api_key).read_only is False
    assert executed(client) == 4


def test_column_that_changes_its_type_is_noticed(client: Any, keys: GeneratedKeys) -> None:
    kind = ApiKey._meta.get_field("rate_limit").db_type(client)
    ApiKey.objects.update(rate_limit="10/minute")
    for _ in range(3):
        find(client, keys.api_key)
    execute(connection, f"ALTER TABLE {TABLE} MODIFY rate_limit longtext NOT NULL")
    try:
        assert find(client, keys.api_key).rate_limit == "10/minute"
        assert executed(client) == 3
    finally:
        execute(connection, f"ALTER TABLE {TABLE} MODIFY rate_limit {kind} NOT NULL")


def test_key_is_found_by_its_index(client: Any, keys: GeneratedKeys) -> None:
    def reads() -> dict[str, int]:
        status = execute(client, "SHOW SESSION STATUS LIKE 'Handler_read%'")
        return {name: int(number) for name, number in status}

    for _ in range(2):
        find(client, keys.api_key)
    before = reads()
    find(client, keys.api_key)
    after = reads()
    assert executed(client) == 2
    read = {name: after[name] - number for name, number in before.items() if after[name] > number}
    # The key's row, the user's row, and what SHOW STATUS reads for itself.
    assert read.pop("Handler_read_key") == 2
    assert set(read) <= {"Handler_read_rnd_next"}


def test_transaction_that_django_does_not_know_of_outlives_a_loss(
    client: Any, keys: GeneratedKeys
) -> None:
    for _ in range(3):
        find(client, keys.api_key)
    lose(client)
    execute(client, "BEGIN")
    execute(client, "UPDATE auth_user SET first_name = 'Ada'")
    assert find(client, keys.api_key).user.first_name == "Ada"
    execute(client, "UPDATE auth_user SET last_name = 'Lovelace'")
    execute(client, "COMMIT")
    keys.instance.user.refresh_from_db()
    assert keys.instance.user.get_full_name() == "Ada Lovelace"


@pytest.mark.parametrize("happens", [lose, lambda client: None], ids=["a loss", "no loss"])
def test_transaction_executes_it_and_outlives_a_loss(
    keys: GeneratedKeys, happens: Callable[[Any], None]
) -> None:
    try:
        for _ in range(3):
            find(connection, keys.api_key)
        happens(connection)
        before = executed(connection)
        with transaction.atomic():
            execute(connection, "UPDATE auth_user SET first_name = 'Ada'")
            assert find(connection, keys.api_key).user.first_name == "Ada"
            execute(connection, "UPDATE auth_user SET last_name = 'Lovelace'")
        assert executed(connection) == before + 1
        keys.instance.user.refresh_from_db()
        assert keys.instance.user.get_full_name() == "Ada Lovelace"
    finally:
        connection.close()  # what it was told at its beginning is lost, too


# Where it is left alone


def test_mysql_is_left_alone(client: Any, keys: GeneratedKeys) -> None:
    client.mysql_is_mariadb = False
    for _ in range(4):
        assert find(client, keys.api_key) == keys.instance
    assert executed(client) == 0


def test_database_that_the_settings_do_not_name_is_left_alone(keys: GeneratedKeys) -> None:
    present = connection.settings_dict
    options = {**present["OPTIONS"], "database": present["NAME"]}
    with connected(NAME="", OPTIONS=options) as client:
        for _ in range(4):
            assert find(client, keys.api_key) == keys.instance
        assert executed(client) == 0
