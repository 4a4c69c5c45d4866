"""Entries become the rows that the ORM would make of them, and nothing of the caller's suffers."""

import time
from contextlib import nullcontext
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.db.migrations.loader import MigrationLoader
from django.test.utils import CaptureQueriesContext

from frappe_tokens.db import LOCK_SECONDS, bounded_insert
from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log import insertion

from ..groups import leave_out
from .conftest import TABLE, an_entry, logged_paths, table_gone, table_locked

NOON = datetime(2026, 2, 28, 12, 0, 0, 123456, tzinfo=timezone.utc)

BOUNDS = {
    "postgresql": "SHOW lock_timeout",
    "mysql": "SELECT @@lock_wait_timeout, @@innodb_lock_wait_timeout",
    "sqlite": "PRAGMA busy_timeout",
}

# The table has a constraint or a type against it, on every database.
IMPOSSIBLE = an_entry("/impossible", status=-1)


def stored():
    """The rows as the driver gives them, without their primary keys."""
    with connection.cursor() as cursor:
        cursor.execute(" ".join(["SELECT * FROM", TABLE, "ORDER BY id"]))
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) | {"id": None} for row in cursor]


@pytest.mark.django_db
@pytest.mark.parametrize("number", [1, 2, 700])
@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"ip": "2001:db8::1", "api_key": ""},
        {"ip": None, "user_id": 7, "source": "EventConsumer"},
        {"path": "/50%s/100%/\\n\\/'\"/\u00e9\u20ac\U0001f600/{0}/$1/;--", "user_agent": ""},
        {"user_id": 2**31 - 1, "status": 599, "duration_ms": 2**31 - 1},
        {"method": "M" * 16, "path": "/" * 500, "user_agent": "\U0001f600" * 200},
    ],
    ids=["usual", "ipv6", "no address", "signs", "numbers", "long"],
)
def test_writes_what_the_orm_would(number, columns):
    entry = an_entry(**{"at": NOON, **columns})
    insertion.insert([entry] * number)
    ApiRequestLog.objects.create(**entry._asdict())
    *written, expected = stored()
    assert written == [expected] * number


@pytest.fixture
def in_paris(transactional_db):
    """Connections whose times are those of Paris."""
    usual = connection.settings_dict["TIME_ZONE"]
    for name in ("Europe/Paris", usual):
        connection.close()
        connection.settings_dict["TIME_ZONE"] = name
        for cached in ("timezone", "timezone_name"):
            vars(connections[connection.alias]).pop(cached, None)
        if name != usual:
            yield


@pytest.mark.parametrize("number", [1, 2])
def test_writes_times_as_the_connection_keeps_them(in_paris, number):
    insertion.insert([an_entry(at=NOON)] * number)
    ApiRequestLog.objects.create(**an_entry(at=NOON)._asdict())
    *written, expected = [row["at"] for row in stored()]
    assert written == [expected] * number
    assert {row.at for row in ApiRequestLog.objects.all()} == {NOON}


@pytest.mark.django_db
@pytest.mark.parametrize("number", [1, 2])
def test_writes_naive_times_without_time_zones(settings, number):
    settings.USE_TZ = False
    naive = NOON.replace(tzinfo=None)
    insertion.insert([an_entry(at=naive)] * number)
    assert {row.at for row in ApiRequestLog.objects.all()} == {naive}


@pytest.mark.django_db(transaction=True)
def test_many_rows_are_one_statement():
    insertion.insert([an_entry()])  # the connection is made, and looked over
    with CaptureQueriesContext(connection) as captured:
        insertion.insert([an_entry()] * 500)
    assert len(captured) == 1
    assert len(logged_paths()) == 501


@pytest.mark.django_db(transaction=True)
def test_writes_all_or_none():
    with pytest.raises(DatabaseError):
        insertion.insert([an_entry(), IMPOSSIBLE])
    assert logged_paths() == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("number", [1, 2])
def test_a_failure_leaves_the_callers_transaction(number):
    with transaction.atomic():
        insertion.insert([an_entry("/before")])
        with pytest.raises(DatabaseError):
            insertion.insert([IMPOSSIBLE] * number)
        insertion.insert([an_entry("/after")])
    assert logged_paths() == ["/before", "/after"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("number", [1, 2])
def test_rows_go_with_the_callers_transaction(number):
    with transaction.atomic():
        insertion.insert([an_entry()] * number)
        transaction.set_rollback(True)
    assert logged_paths() == []


@pytest.fixture
def no_autocommit(transactional_db):
    """The project commits by itself."""
    connection.set_autocommit(False)
    yield
    connection.rollback()
    connection.set_autocommit(True)


def test_without_autocommit_the_project_commits(no_autocommit):
    for path, end in (("/dropped", connection.rollback), ("/kept", connection.commit)):
        ApiRequestLog.objects.create(**an_entry(path)._asdict())
        insertion.insert([an_entry(path)])
        end()
    assert logged_paths() == ["/kept", "/kept"]


def test_commits_on_demand(no_autocommit):
    insertion.insert([an_entry("/kept")], commit=True)
    connection.set_autocommit(False)
    connection.rollback()
    assert logged_paths() == ["/kept"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("entry", [an_entry(), IMPOSSIBLE], ids=["written", "failed"])
def test_leaves_the_bounds_of_the_connection(entry):
    def present_bound():
        with connection.cursor() as cursor:
            cursor.execute(BOUNDS[connection.vendor])
            return cursor.fetchone()

    before = present_bound()
    for number in (1, 2):
        try:
            insertion.insert([entry] * number)
        except DatabaseError:
            assert entry is IMPOSSIBLE
    assert present_bound() == before


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("entry", [an_entry(), IMPOSSIBLE], ids=["taken", "refused"])
@pytest.mark.parametrize("surroundings", [nullcontext, transaction.atomic])
def test_trying_out_leaves_no_row_and_no_bound(entry, surroundings):
    with surroundings(), connection.cursor() as cursor:
        insertion.insert([an_entry("/before")])
        cursor.execute(BOUNDS[connection.vendor])
        before = cursor.fetchone()
        with nullcontext() if entry is not IMPOSSIBLE else pytest.raises(DatabaseError):
            insertion.try_insert(entry)
        cursor.execute(BOUNDS[connection.vendor])
        assert cursor.fetchone() == before
        insertion.insert([an_entry("/after")])
    assert logged_paths() == ["/before", "/after"]


@pytest.mark.django_db(transaction=True)
def test_trying_out_waits_for_a_lock_no_longer_than_promised():
    insertion.insert([an_entry()])
    with table_locked():
        began = time.monotonic()
        with pytest.raises(DatabaseError):
            insertion.try_insert(an_entry())
        assert time.monotonic() - began < 3 * LOCK_SECONDS


@pytest.fixture
def narrow_database(transactional_db):
    """The database is in utf8mb3, as old ones are, and the log's table was made there."""
    if connection.vendor != "mysql":
        leave_out("database server", "MySQL and MariaDB have narrow texts", in_ci_too=True)
    name = connection.ops.quote_name(connection.settings_dict["NAME"])
    alter = " ".join(["ALTER DATABASE", name, "CHARACTER SET"])
    migrated = MigrationLoader(connection).project_state(("frappe_tokens", "0001_initial"))
    made = migrated.apps.get_model("frappe_tokens", "ApiRequestLog")
    with connection.cursor() as cursor, table_gone():
        cursor.execute(f"{alter} utf8mb3")
        try:
            with connection.schema_editor() as editor:
                editor.create_model(made)
            yield
        finally:
            cursor.execute(f"{alter} utf8mb4")
            cursor.execute(" ".join(["DROP TABLE", TABLE]))


def test_takes_every_character_in_an_old_database(narrow_database):
    """Else a client would keep itself out of the log by an emoji."""
    text = "\u20ac\U0001f600"
    entry = an_entry(f"/{text}", user_agent=text, source=text, method=text)
    insertion.insert([entry])
    row = ApiRequestLog.objects.get()
    assert (row.path, row.user_agent, row.source, row.method) == (f"/{text}", text, text, text)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("number", [1, 500])
def test_writes_with_parameters_bound_by_the_server(number):
    if connection.vendor != "postgresql":
        leave_out("database server", "PostgreSQL's drivers bind parameters so", in_ci_too=True)
    connection.close()
    connection.settings_dict["OPTIONS"]["server_side_binding"] = True
    try:
        insertion.insert([an_entry("/bound")] * number)
        with pytest.raises(DatabaseError):
            insertion.insert([IMPOSSIBLE] * number)
        insertion.try_insert(an_entry())
        assert logged_paths() == ["/bound"] * number
    finally:
        connection.close()
        del connection.settings_dict["OPTIONS"]["server_side_binding"]


@pytest.mark.django_db(transaction=True)
def test_asks_mysql_by_a_hint_not_to_wait():
    """MariaDB, which the tests run on, takes it for a comment."""
    mysql = SimpleNamespace(vendor="mysql", mysql_is_mariadb=False, in_atomic_block=False)
    with bounded_insert(mysql) as insert:
        assert "SET_VAR(lock_wait_timeout=1)" in insert
        if connection.vendor != "mysql":
            leave_out("database server", "MySQL and MariaDB have hints", in_ci_too=True)
        with connection.cursor() as cursor:
            cursor.execute(" ".join([insert, "INTO", TABLE, "SELECT * FROM", TABLE]))


@pytest.mark.django_db
def test_a_backend_of_another_kind_is_asked_plainly():
    other = SimpleNamespace(vendor="other", in_atomic_block=False)
    with bounded_insert(other) as insert:
        assert insert == "INSERT"
    assert insertion._statement("default", "other")[1] == ""


def test_bytes_are_not_guessed_at():
    for value in (b"", bytearray(), memoryview(b"")):
        with pytest.raises(TypeError):
            insertion._to_json(value)
    assert insertion._to_json(timedelta(1)) == "1 day, 0:00:00"
