"""Entries become the rows that the ORM would write, without side effects for the caller."""

import time
from types import SimpleNamespace

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.migrations.loader import MigrationLoader
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from frappe_tokens.db import LOCK_SECONDS, execute_insert
from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log import insertion

from ..groups import leave_out
from ..log_tables import TABLE, log_gone
from .conftest import IMPOSSIBLE, an_entry, locked, logged_paths
from .population import utc

LIMITS = {
    "postgresql": "SHOW lock_timeout",
    "mysql": "SELECT @@lock_wait_timeout, @@innodb_lock_wait_timeout",
    "sqlite": "PRAGMA busy_timeout",
}

commits = pytest.mark.django_db(transaction=True)


def stored():
    """The rows as the driver gives them, without their primary keys."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {TABLE} ORDER BY id")
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) | {"id": None} for row in cursor]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "columns",
    [
        {"user_id": 2**31 - 1, "ip": "2001:db8::1", "duration_ms": 2**31 - 1},
        {"user_id": None, "ip": None, "number": 2**31 - 1},
    ],
    ids=["long", "empty"],
)
def test_rows_are_those_of_the_orm(columns):
    at = utc(2026, 2, 28, 12, 0, 0, 123456)
    path = "/50%s/100%/\\n\\/'\"/\u20ac\U0001f600/{0}/$1/;--INSERT"
    entry = an_entry(path, at=at, user_agent="\U0001f600" * 200, **columns)

    for number in (1, 2, 3):
        insertion.insert([entry] * number)

    ApiRequestLog.objects.create(**entry._asdict())
    *written, expected = stored()
    assert written == [expected] * 6


@pytest.mark.django_db
def test_many_rows_keep_their_order_and_their_columns():
    entries = [
        an_entry(f"/{number}", user_id=number or None, ip=ip, duration_ms=number * 40_000)
        for number, ip in enumerate(["192.0.2.1", "2001:db8::1", None, "192.0.2.2"] * 20)
    ]

    insertion.insert(entries)

    rows = ApiRequestLog.objects.order_by("pk")
    assert list(rows.values_list(*entries[0]._fields)) == [tuple(entry) for entry in entries]


@commits
def test_failure_writes_no_row_and_leaves_the_callers_transaction_intact():
    with transaction.atomic():
        insertion.insert([an_entry("/before")])
        with pytest.raises(DatabaseError):
            insertion.insert([an_entry(), IMPOSSIBLE])
        insertion.insert([an_entry("/after")])

    assert logged_paths() == ["/before", "/after"]


@pytest.fixture
def no_autocommit(transactional_db):
    """The project commits by itself."""
    connection.set_autocommit(False)
    yield
    connection.rollback()
    connection.set_autocommit(True)


def test_without_autocommit_the_project_commits(no_autocommit):
    for path, end in (("/rolled back", connection.rollback), ("/kept", connection.commit)):
        ApiRequestLog.objects.create(**an_entry(path)._asdict())
        insertion.insert([an_entry(path)])
        end()

    assert logged_paths() == ["/kept", "/kept"]


def limit():
    with connection.cursor() as cursor:
        cursor.execute(LIMITS[connection.vendor])
        return cursor.fetchone()


@pytest.fixture(params=["client", "server"])
def binding(request, transactional_db):
    """Where the parameters of statements are bound."""
    if request.param == "client":
        yield
        return
    if connection.vendor != "postgresql":
        leave_out("database server", "PostgreSQL binds parameters on the server", in_ci_too=True)
    connection.close()
    connection.settings_dict["OPTIONS"]["server_side_binding"] = True
    yield
    connection.close()
    del connection.settings_dict["OPTIONS"]["server_side_binding"]


@pytest.mark.parametrize("number", [1, 2])
def test_insert_is_one_round_trip(binding, number):
    with CaptureQueriesContext(connection) as captured:
        insertion.insert([an_entry("/50%s/")] * number)

    assert len(captured) == 1
    assert logged_paths() == ["/50%s/"] * number


def test_insert_waits_for_a_lock_only_briefly(binding):
    with locked():
        started = time.monotonic()
        with pytest.raises(DatabaseError):
            insertion.insert([an_entry()])

    assert LOCK_SECONDS / 2 <= time.monotonic() - started < 30


def test_timeouts_of_the_connection_are_restored(binding):
    before = limit()

    insertion.insert([an_entry("/1"), an_entry("/2")])
    with pytest.raises(DatabaseError):
        insertion.insert([IMPOSSIBLE])
    with transaction.atomic():
        assert insertion.can_insert(timezone.now())

    assert limit() == before
    assert logged_paths() == ["/1", "/2"]


@pytest.fixture
def utf8mb3_database(transactional_db):
    """The database is in utf8mb3, as old ones are, and the log's table was created there."""
    if connection.vendor != "mysql":
        leave_out("database server", "only MySQL and MariaDB have utf8mb3", in_ci_too=True)
    name = connection.ops.quote_name(connection.settings_dict["NAME"])
    alter = " ".join(["ALTER DATABASE", name, "CHARACTER SET"])
    migrated = MigrationLoader(connection).project_state(("frappe_tokens", "0001_initial"))
    model = migrated.apps.get_model("frappe_tokens", "ApiRequestLog")
    with connection.cursor() as cursor, log_gone():
        cursor.execute(f"{alter} utf8mb3")
        try:
            with connection.schema_editor() as editor:
                editor.create_model(model)
            yield
        finally:
            cursor.execute(f"{alter} utf8mb4")
            cursor.execute(f"DROP TABLE {TABLE}")


def test_old_database_accepts_every_character(utf8mb3_database):
    """Otherwise a client could keep itself out of the log by an emoji."""
    text = "\u20ac\U0001f600"

    insertion.insert([an_entry(f"/{text}", user_agent=text, source=text, method=text)])

    row = ApiRequestLog.objects.get()
    assert (row.path, row.user_agent, row.source, row.method) == (f"/{text}", text, text, text)


@commits
@pytest.mark.parametrize(
    ("vendor", "start"),
    [("mysql", "INSERT /*+ SET_VAR(lock_wait_timeout=1) */ INTO "), ("other", "INSERT INTO ")],
)
def test_other_databases_get_a_hint_or_nothing(vendor, start):
    """The databases of the tests take the hint of MySQL for a comment."""
    other = SimpleNamespace(
        vendor=vendor, mysql_is_mariadb=False, in_atomic_block=False, cursor=connection.cursor
    )
    columns = "at, api_key, source, method, path, status, duration_ms, user_agent, outcome, number"
    values = "CURRENT_TIMESTAMP, '', '', '', %s, 200, 1, '', '', 1"
    sql = f"INSERT INTO {TABLE} ({columns}) VALUES ({values})"

    with CaptureQueriesContext(connection) as captured:
        execute_insert(other, sql, ["/other"])

    (query,) = captured
    assert query["sql"].startswith(start)
    assert logged_paths() == ["/other"]
