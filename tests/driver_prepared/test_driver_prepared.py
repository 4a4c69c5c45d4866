"""What psycopg prepares where the project has chosen it, and what is answered without it."""

import logging
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, ProgrammingError, connection, transaction
from django.test import Client

from frappe_tokens.models import ApiKey

from ..conftest import token_header
from ..instances import described
from ..test_statement import PREPARED, by_queryset, by_statement, full
from .clients import TABLE, connected, execute, executions, find, lose, transaction_of

pytestmark = pytest.mark.django_db(transaction=True)

WHO = "/api/method/frappe.auth.get_logged_user"


@contextmanager
def seen_by_wrapper(client):
    seen = []

    def note(execute, sql, params, many, context):
        seen.append(sql)
        return execute(sql, params, many, context)

    with client.execute_wrapper(note):
        yield seen


# Where it is chosen


_PREPARED = {
    "postgresql": "SELECT count(*) FROM pg_prepared_statements",
    "mysql": "SELECT sum(variable_value) FROM information_schema.session_status"
    " WHERE variable_name IN ('Com_prepare_sql', 'Com_stmt_prepare')",
}


def test_nothing_is_prepared_by_default(keys):
    with connected() as client:
        client.ensure_connection()
        with seen_by_wrapper(client) as seen:
            for _ in range(8):
                assert find(client, keys.api_key) == keys.instance

        assert [sql.split()[0] for sql in seen] == ["SELECT"] * 8
        assert "frappe_tokens_apikey" in seen[0]
        assert " AS " not in seen[0]
        if client.vendor in _PREPARED:
            assert execute(client, _PREPARED[client.vendor]) == [(0,)]


@pytest.mark.parametrize("value", [None, True, False])
@pytest.mark.usefixtures("postgresql")
def test_only_a_number_chooses_it(keys, value):
    with connected(prepare_threshold=value) as client:
        for _ in range(8):
            assert find(client, keys.api_key) == keys.instance

        assert executions(client) == {}


@pytest.mark.parametrize("binding", [{}, {"server_side_binding": True}])
@pytest.mark.parametrize("threshold", [0, 2])
@pytest.mark.usefixtures("postgresql")
def test_server_prepares_it_at_the_threshold(keys, threshold, binding):
    with connected(prepare_threshold=threshold, **binding) as client:
        for _ in range(threshold):
            find(client, keys.api_key)
        assert executions(client) == {}

        for number in range(1, 4):
            assert find(client, keys.api_key) == keys.instance
            assert list(executions(client).values()) == [number]


# What it brings


@pytest.mark.parametrize("model", PREPARED)
def test_brings_what_a_queryset_brings(client, model, make_user):
    key = full(model, make_user("ada"))
    other = model._base_manager.create(user=make_user("bob"))

    for _ in range(6):  # custom plans at first, then a generic one
        for api_key in (key.api_key, other.api_key):
            found = find(client, api_key, model)
            assert described(found) == described(by_queryset(model, api_key))
        assert find(client, "ftk_nobodys", model) is None
        assert find(client, "' OR ''='", model) is None

    assert list(executions(client).values()) == [22]


@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
def test_key_is_found_by_its_index(client, keys, plan):
    for _ in range(3):
        find(client, keys.api_key)
    (name,) = executions(client)
    # In a table of one row, all indexes cost the same.
    ApiKey.objects.bulk_create(
        ApiKey(user=keys.instance.user, name=f"{number}") for number in range(500)
    )
    execute(client, "ANALYZE")
    # A small table is read from end to end otherwise.
    execute(client, f"SET plan_cache_mode = {plan}; SET enable_seqscan = off")

    lines = execute(client, f"EXPLAIN (COSTS OFF) EXECUTE {name}('{keys.api_key}')")

    (condition,) = [line.strip() for (line,) in lines if "api_key" in line and "Cond" in line]
    assert condition.startswith("Index Cond: ((api_key)::text = ")


@pytest.mark.parametrize("other", [{"USE_TZ": False}, {"TIME_ZONE": "Asia/Tokyo"}])
def test_settings_that_change_later_count_at_once(chosen, user, settings, other):
    key = full(ApiKey, user)
    for _ in range(3):
        by_statement(ApiKey, key.api_key)

    for name, value in other.items():
        setattr(settings, name, value)

    assert described(by_statement(ApiKey, key.api_key)) == described(
        by_queryset(ApiKey, key.api_key)
    )


# Who sees it


def test_wrapper_and_log_of_queries_see_the_select(client, keys, settings):
    for _ in range(3):
        find(client, keys.api_key)

    with seen_by_wrapper(client) as seen:
        find(client, keys.api_key)
    assert list(executions(client).values()) == [2]
    settings.DEBUG = True
    find(client, keys.api_key)

    seen += [query["sql"] for query in client.queries]
    assert [sql.split()[0] for sql in seen] == ["SELECT", "SELECT"]
    assert keys.api_key in seen[1]


@pytest.mark.usefixtures("postgresql")
def test_cursor_of_the_projects_own_sees_the_select(keys):
    from psycopg import ClientCursor

    seen = []

    class Traced(ClientCursor[Any]):
        def execute(self, query, *args, **kwargs):
            seen.append(query)
            return super().execute(query, *args, **kwargs)

    with connected(prepare_threshold=0, cursor_factory=Traced) as client:
        client.ensure_connection()
        seen.clear()
        assert find(client, keys.api_key) == keys.instance

    assert [sql.split()[0] for sql in seen] == ["SELECT"]


# Within a transaction


@contextmanager
def unknown_to_django(client):
    execute(client, "BEGIN")
    yield
    execute(client, "COMMIT")


@contextmanager
def without_autocommit(client):
    client.set_autocommit(False)
    yield
    client.commit()
    client.set_autocommit(True)


@pytest.mark.parametrize("binding", [False, True])
@pytest.mark.parametrize(
    "within", [lambda client: transaction.atomic(), without_autocommit, unknown_to_django]
)
def test_transaction_outlives_a_loss(
    chosen,
    keys,
    monkeypatch,
    within,
    binding,
):
    monkeypatch.setitem(chosen.settings_dict["OPTIONS"], "server_side_binding", binding)
    for _ in range(3):
        find(chosen, keys.api_key)
    assert list(executions(chosen).values()) == [1]
    lose(chosen)

    with within(chosen):
        assert find(chosen, keys.api_key) == keys.instance
        execute(chosen, "UPDATE auth_user SET first_name = 'Ada'")

    keys.instance.user.refresh_from_db()
    assert keys.instance.user.first_name == "Ada"


# Where the server does not have it any more


def changed(client):
    execute(connection, f"ALTER TABLE {TABLE} ALTER rate_limit TYPE text")


def of_a_type_that_is_gone(client):
    execute(connection, f"ALTER TABLE {TABLE} ALTER api_key TYPE varchar(64)")
    execute(connection, "DROP EXTENSION citext")


def replaced_by(statement):
    """As behind a pooler, where another process has given its statement the same name."""

    def happen(client):
        (name,) = executions(client)
        lose(client)
        result = client.connection.pgconn.exec_(f"PREPARE {name} {statement}".encode())
        assert not result.error_message

    return happen


@pytest.fixture
def columns_that_change():
    """API keys are of a type that an extension brings, and both types are put back at the end."""
    kind = ApiKey._meta.get_field("rate_limit").db_type(connection)
    execute(connection, "CREATE EXTENSION citext")
    execute(connection, f"ALTER TABLE {TABLE} ALTER api_key TYPE citext")
    yield
    execute(connection, f"ALTER TABLE {TABLE} ALTER api_key TYPE varchar(64)")
    execute(connection, f"ALTER TABLE {TABLE} ALTER rate_limit TYPE {kind}")
    execute(connection, "DROP EXTENSION IF EXISTS citext")


LOSSES = {
    "lost": lose,
    "a column of another type": changed,
    "a type that is gone": of_a_type_that_is_gone,
    "a statement without rows": replaced_by("(text) AS SELECT 1 WHERE $1 = ''"),
    "a statement without parameters": replaced_by("AS SELECT 1"),
    "a statement that brings no columns": replaced_by(
        "(text) AS DELETE FROM auth_group WHERE name = $1"
    ),
    "a statement with other columns": replaced_by(
        f"(text) AS SELECT *, 1 FROM {TABLE}, auth_user WHERE api_key = $1"
    ),
}


@pytest.mark.usefixtures("postgresql", "columns_that_change")
@pytest.mark.parametrize("happens", LOSSES.values(), ids=LOSSES)
def test_statement_that_is_lost_is_done_without(
    client,
    keys,
    happens,
    caplog,
):
    for _ in range(3):
        find(client, keys.api_key)

    happens(client)

    for _ in range(4):
        assert find(client, keys.api_key) == keys.instance
    assert sum(executions(client).values()) <= 1
    (message,) = caplog.messages
    assert "prepare_threshold" in message
    assert keys.api_key not in message


def test_other_connections_go_on_preparing(client, keys):
    with connected(prepare_threshold=0) as other:
        for _ in range(3):
            find(client, keys.api_key)
            find(other, keys.api_key)
        lose(client)

        for number in (4, 5):
            assert find(client, keys.api_key) == keys.instance
            assert find(other, keys.api_key) == keys.instance
            assert list(executions(other).values()) == [number]


def test_request_is_answered_when_the_statement_is_lost(chosen, keys):
    web = Client(headers={"Authorization": token_header(keys)})
    for _ in range(3):
        assert web.get(WHO).status_code == 200
    assert list(executions(chosen).values()) == [1]
    lose(chosen)

    for _ in range(2):
        assert web.get(WHO).json() == {"message": "ada"}


# Errors of the SELECT itself


def test_wait_that_is_too_long_is_not_made_twice(client, keys, caplog):
    for _ in range(3):
        find(client, keys.api_key)
    execute(client, "SET lock_timeout TO '50ms'")

    with connected() as other, transaction_of(other):
        execute(other, f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
        with (
            seen_by_wrapper(client) as seen,
            pytest.raises(OperationalError, match="lock timeout"),
        ):
            find(client, keys.api_key)

    assert len(seen) == 1
    assert find(client, keys.api_key) == keys.instance
    assert list(executions(client).values()) == [2]
    assert not caplog.messages


def test_table_that_is_missing_is_an_error_as_ever(client, keys):
    for _ in range(3):
        find(client, keys.api_key)
    execute(connection, f"ALTER TABLE {TABLE} RENAME TO elsewhere")
    try:
        with pytest.raises(ProgrammingError, match=TABLE):
            find(client, keys.api_key)
    finally:
        execute(connection, f"ALTER TABLE elsewhere RENAME TO {TABLE}")

    assert find(client, keys.api_key) == keys.instance


def test_broken_connection_is_an_error_as_ever(client, keys, caplog):
    caplog.set_level(logging.INFO, "frappe_tokens")
    for _ in range(3):
        find(client, keys.api_key)
    ((number,),) = execute(client, "SELECT pg_backend_pid()")
    execute(connection, f"SELECT pg_terminate_backend({number}, 5000)")

    for _ in range(2):
        with pytest.raises(OperationalError):
            find(client, keys.api_key)

    client.close()
    for _ in range(3):
        assert find(client, keys.api_key) == keys.instance
    assert list(executions(client).values()) == [1]
    assert not caplog.messages
