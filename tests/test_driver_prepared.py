"""What psycopg prepares if the project has chosen it, and how requests do without it."""

import re
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, ProgrammingError, connection, transaction

from frappe_tokens.lookup import statement as statements
from frappe_tokens.lookup.statement import LookupStatement
from frappe_tokens.models import ApiKey

from .groups import leave_out
from .instances import described
from .sources.models import Robot
from .tables import gone
from .test_statement import PREPARED, by_queryset, by_statement, full

pytestmark = pytest.mark.django_db(transaction=True)

TABLE = ApiKey._meta.db_table


@pytest.fixture(autouse=True)
def postgresql():
    if connection.vendor != "postgresql":
        leave_out("PostgreSQL", "is what psycopg prepares statements in", in_ci_too=True)


@contextmanager
def connected(**options):
    """A new connection to the tests' database with these ``OPTIONS``."""
    twin = connection.copy()
    twin.settings_dict["OPTIONS"].update(options)
    try:
        yield twin
    finally:
        twin.close()


@pytest.fixture
def client():
    """A connection that prepares what it has sent twice."""
    with connected(prepare_threshold=2) as twin:
        yield twin


@pytest.fixture
def chosen(monkeypatch):
    """The connection of the site itself, which prepares what it has sent twice."""
    connection.close()
    with monkeypatch.context() as patch:
        patch.setitem(connection.settings_dict["OPTIONS"], "prepare_threshold", 2)
        patch.setattr(statements, "_statements", {})
        yield connection
    connection.close()


def find(client, api_key, model=ApiKey, times=1):
    columns = None
    for _ in range(times):
        statement = LookupStatement(model, client.copy())
        columns = statement.fetch(client, api_key)
    return columns and statement.instance(columns)


def execute(client, sql):
    with client.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []


def prepared(client):
    """The lookup that psycopg has prepared here, if any: its name, its text, its executions."""
    return execute(
        client,
        "SELECT name, statement, generic_plans + custom_plans FROM pg_prepared_statements"
        """ WHERE NOT from_sql AND statement LIKE 'SELECT "%'""",
    )


def executions(client):
    return [count for _, _, count in prepared(client)]


@contextmanager
def seen_by_wrapper(client):
    seen = []

    def note(execute, sql, params, many, context):
        seen.append(sql)
        return execute(sql, params, many, context)

    with client.execute_wrapper(note):
        yield seen


@pytest.mark.parametrize("options", [{}, *({"prepare_threshold": x} for x in (None, True, False))])
def test_nothing_is_prepared_unless_a_number_chooses_it(keys, options):
    with connected(**options) as client:
        assert find(client, keys.api_key, times=8) == keys.instance
        assert executions(client) == []


@pytest.mark.parametrize("binding", [{}, {"server_side_binding": True}])
@pytest.mark.parametrize("threshold", [0, 2])
def test_server_prepares_it_at_the_threshold(keys, threshold, binding):
    with connected(prepare_threshold=threshold, **binding) as client:
        find(client, keys.api_key, times=threshold)
        assert executions(client) == []

        assert find(client, keys.api_key, times=3) == keys.instance
        assert executions(client) == [3]


@pytest.mark.parametrize("model", PREPARED)
def test_brings_what_a_queryset_brings(client, model, make_user):
    key = full(model, make_user("ada"))
    other = model._base_manager.create(user=make_user("bob"))

    for _ in range(6):  # custom plans at first, then a generic one
        for api_key in (key.api_key, other.api_key):
            found = find(client, api_key, model)
            assert described(found) == described(by_queryset(model, api_key))
        assert find(client, "ftk_unknown", model) is None
        assert find(client, "' OR ''='", model) is None

    assert executions(client) == [22]


@pytest.mark.parametrize("other", [{"USE_TZ": False}, {"TIME_ZONE": "Asia/Tokyo"}])
def test_settings_that_change_later_count_at_once(chosen, user, settings, other):
    key = full(ApiKey, user)
    for _ in range(3):
        by_statement(ApiKey, key.api_key)

    for name, value in other.items():
        setattr(settings, name, value)

    plain = by_queryset(ApiKey, key.api_key)
    assert described(by_statement(ApiKey, key.api_key)) == described(plain)


def test_wrapper_and_log_of_queries_see_the_select(client, keys, settings):
    find(client, keys.api_key, times=3)

    with seen_by_wrapper(client) as seen:
        find(client, keys.api_key)
    assert executions(client) == [2]
    settings.DEBUG = True
    find(client, keys.api_key)

    seen += [query["sql"] for query in client.queries]
    assert [sql.split()[0] for sql in seen] == ["SELECT", "SELECT"]
    assert keys.api_key in seen[1]


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


def lose(client):
    """The server keeps nothing for this connection any more, without psycopg's knowledge."""
    client.connection.pgconn.exec_(b"DEALLOCATE ALL")


@pytest.mark.parametrize("binding", [False, True])
@pytest.mark.parametrize(
    "within", [lambda client: transaction.atomic(), without_autocommit, unknown_to_django]
)
def test_transaction_outlives_a_loss(chosen, keys, monkeypatch, within, binding, caplog):
    monkeypatch.setitem(chosen.settings_dict["OPTIONS"], "server_side_binding", binding)
    find(chosen, keys.api_key, times=3)
    assert executions(chosen) == [1]
    lose(chosen)

    with within(chosen):
        assert find(chosen, keys.api_key) == keys.instance
        execute(chosen, "UPDATE auth_user SET first_name = 'Ada'")

    assert not caplog.messages
    keys.instance.user.refresh_from_db()
    assert keys.instance.user.first_name == "Ada"


@pytest.fixture
def column_that_changes():
    kind = ApiKey._meta.get_field("rate_limit").db_type(connection)
    yield
    execute(connection, f"ALTER TABLE {TABLE} ALTER rate_limit TYPE {kind}")


def change_column(client):
    execute(connection, f"ALTER TABLE {TABLE} ALTER rate_limit TYPE text")


def replace(client, statement):
    """Behind a pooler, another process may have given its statement the same name."""
    ((name, _, _),) = prepared(client)
    lose(client)
    result = client.connection.pgconn.exec_(f"PREPARE {name} {statement}".encode())
    assert not result.error_message


def replace_by_another_source(client):
    with connected(prepare_threshold=0) as other:
        find(other, "ftk_unknown", Robot)
        ((_, sql, _),) = prepared(other)
    replace(client, f"(text) AS {sql}")


LOSSES = {
    "lost": lose,
    "a column of another type": change_column,
    "another source's lookup": replace_by_another_source,
    "a statement without parameters": lambda client: replace(client, "AS SELECT 1"),
    "a statement that brings no columns": lambda client: replace(
        client, "(text) AS DELETE FROM auth_group WHERE name = $1"
    ),
}


@pytest.mark.usefixtures("column_that_changes")
@pytest.mark.parametrize("happens", LOSSES.values(), ids=LOSSES)
def test_statement_that_is_lost_is_done_without(client, keys, happens, caplog):
    robot = Robot.objects.create(user=keys.instance.user)
    find(client, keys.api_key, times=3)

    happens(client)

    for _ in range(4):
        assert find(client, robot.api_key) is None
        assert find(client, keys.api_key) == keys.instance
    assert sum(executions(client)) <= 1
    (message,) = caplog.messages
    assert re.search("with (the error [0-9A-Z]{5}|another statement's rows), which", message)
    assert "prepare_threshold" in message
    assert keys.api_key not in message


def test_missing_table_does_not_end_preparing(client, keys, caplog):
    find(client, keys.api_key, times=3)

    with gone(TABLE):
        for _ in range(2):
            with pytest.raises(ProgrammingError):
                find(client, keys.api_key)

    assert find(client, keys.api_key) == keys.instance
    assert executions(client) == [2]
    assert not caplog.messages


@pytest.mark.parametrize("code", ["40001", "53200", "57014"])
def test_temporary_error_is_not_taken_for_a_lost_statement(client, keys, caplog, code):
    find(client, keys.api_key, times=3)
    execute(
        client,
        "CREATE FUNCTION pg_temp.fail() RETURNS text LANGUAGE plpgsql AS "
        f"'BEGIN RAISE EXCEPTION ''temporary'' USING ERRCODE = ''{code}''; END'",
    )
    replace(client, "(text) AS SELECT pg_temp.fail() WHERE $1 <> ''")

    with pytest.raises(OperationalError, match="temporary"):
        find(client, keys.api_key)

    assert not caplog.messages


def test_wait_that_is_too_long_is_not_made_twice(client, keys, caplog):
    find(client, keys.api_key, times=3)
    execute(client, "SET lock_timeout TO '50ms'")

    with connected() as other, without_autocommit(other):
        execute(other, f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
        with seen_by_wrapper(client) as seen, pytest.raises(OperationalError, match="lock timeout"):
            find(client, keys.api_key)

    assert len(seen) == 1
    assert find(client, keys.api_key) == keys.instance
    assert executions(client) == [2]
    assert not caplog.messages


def test_broken_connection_is_an_error_as_ever(client, keys, caplog):
    find(client, keys.api_key, times=3)
    ((number,),) = execute(client, "SELECT pg_backend_pid()")
    execute(connection, f"SELECT pg_terminate_backend({number}, 5000)")

    with pytest.raises(OperationalError):
        find(client, keys.api_key)

    client.close()
    find(client, keys.api_key, times=3)
    assert executions(client) == [1]
    assert not caplog.messages
