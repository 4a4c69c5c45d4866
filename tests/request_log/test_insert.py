"""Entries become the rows that the ORM would write, without side effects for the caller."""

from types import SimpleNamespace

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone

from frappe_tokens.db import bounded_insert
from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log import insertion

from ..groups import leave_out
from ..log_tables import TABLE, log_gone
from .conftest import IMPOSSIBLE, an_entry, logged_paths
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
def test_rows_are_those_of_the_orm():
    entry = an_entry(
        "/50%s/100%/\\n\\/'\"/\u20ac\U0001f600/{0}/$1/;--INSERT",
        at=utc(2026, 2, 28, 12, 0, 0, 123456),
        user_id=2**31 - 1,
        ip="2001:db8::1",
        user_agent="\U0001f600" * 200,
        duration_ms=2**31 - 1,
    )

    for number in (1, 2):
        insertion.insert([entry] * number)

    ApiRequestLog.objects.create(**entry._asdict())
    *written, expected = stored()
    assert written == [expected] * 3


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
def test_mysql_gets_the_timeout_as_a_hint():
    """MariaDB, which the tests run on, takes it for a comment."""
    mysql = SimpleNamespace(vendor="mysql", mysql_is_mariadb=False, in_atomic_block=False)
    with bounded_insert(mysql) as insert:
        assert "SET_VAR(lock_wait_timeout=1)" in insert
        if connection.vendor != "mysql":
            leave_out("database server", "only MySQL and MariaDB have hints", in_ci_too=True)
        with connection.cursor() as cursor:
            cursor.execute(f"{insert} INTO {TABLE} SELECT * FROM {TABLE}")


def test_other_databases_get_a_plain_insert():
    other = SimpleNamespace(vendor="other", in_atomic_block=False)

    with bounded_insert(other) as insert:
        assert insert == "INSERT"
