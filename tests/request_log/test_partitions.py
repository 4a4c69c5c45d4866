"""The partitions by month, exactly as documented."""

import re
from datetime import datetime, timedelta, timezone
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection

from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log import Entry, batches, buffered
from frappe_tokens.request_log.insertion import insert
from frappe_tokens.request_log.usage import usage_of

from ..groups import leave_out
from .population import entry, log, logged

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "large-request-logs.md"
TABLE = ApiRequestLog._meta.db_table
DAY = timedelta(days=1)
NOW = datetime.now(timezone.utc)


def first_of_month(ahead):
    months = NOW.year * 12 + NOW.month - 1 + ahead
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=timezone.utc)


def name_of(ahead):
    return f"{TABLE}_{first_of_month(ahead):%Y_%m}"


def blocks(language):
    section = PAGE.read_text().split("\n## A partition for each month\n")[1].split("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


def statements():
    """The statements of the page one by one, as psql sends them."""
    statement = ""
    for line in "".join(blocks("sql")).splitlines(keepends=True):
        statement += line
        if line.endswith(";\n") and statement.count("$$") % 2 == 0:
            yield statement
            statement = ""
    assert not statement


def execute(sql, *params):
    with connection.cursor() as cursor:
        cursor.execute(sql, params or None)
        return cursor.fetchall() if cursor.description else []


def partitions():
    found = execute(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
        "WHERE inhparent = %s::regclass",
        TABLE,
    )
    return {name for (name,) in found}


def files(table):
    """Where the rows of a table, and those of its indexes, are stored; the primary key's last."""
    return execute(
        "SELECT relfilenode FROM pg_class LEFT JOIN pg_index ON indexrelid = pg_class.oid "
        "WHERE %s::regclass IN (pg_class.oid, indrelid) "
        "ORDER BY coalesce(indisprimary, false), relfilenode",
        table,
    )


@pytest.fixture
def table():
    """The table of the migrations, in a schema of its own, with some rows."""
    if connection.vendor != "postgresql":
        leave_out("PostgreSQL", "partitions are its own", in_ci_too=True)
    execute("CREATE SCHEMA partitioned")
    try:
        execute("SET search_path TO partitioned, public")
        with connection.schema_editor() as editor:
            editor.create_model(ApiRequestLog)
        log(*(entry(NOW - number * DAY) for number in range(400)))
        yield
    finally:
        execute("RESET search_path")
        execute("DROP SCHEMA partitioned CASCADE")


@pytest.fixture
def partitioned(table):
    for statement in statements():
        execute(statement)


def write(at, **columns):
    """As the app does."""
    row = entry(at, **columns)
    insert([Entry(**{name: getattr(row, name) for name in Entry._fields})])


def test_partitioning_rewrites_neither_rows_nor_indexes(table):
    before, stored = logged(), files(TABLE)

    for statement in statements():
        execute(statement)

    assert logged() == before
    assert files(name_of(1))[:-1] == stored[:-1]


def test_columns_and_indexes_are_those_of_the_model(partitioned):
    with connection.cursor() as cursor:
        columns = {
            column.name: column.null_ok
            for column in connection.introspection.get_table_description(cursor, TABLE)
        }
        constraints = connection.introspection.get_constraints(cursor, TABLE)

    assert columns == {field.column: field.null for field in ApiRequestLog._meta.concrete_fields}
    for index in ApiRequestLog._meta.indexes:
        fields = [ApiRequestLog._meta.get_field(name) for name in index.fields]
        assert constraints[index.name]["columns"] == [field.column for field in fields]
    assert "frappe_tokens_log_until" not in constraints
    assert len([name for name in constraints if constraints[name]["check"]]) == 3


def test_app_writes_into_the_month_of_the_request(partitioned):
    tick = timedelta(microseconds=1)
    months = [NOW, first_of_month(2) - tick, first_of_month(2), first_of_month(4) - tick]
    for at in months:
        write(at, path="/new/")

    placed = execute(
        "SELECT at, tableoid::regclass::text FROM frappe_tokens_apirequestlog "
        "WHERE path = '/new/' ORDER BY at"
    )
    names = [name_of(1), name_of(1), name_of(2), name_of(3)]
    assert placed == list(zip(months, names, strict=True))
    assert len(set(ApiRequestLog.objects.values_list("pk", flat=True))) == 404
    with pytest.raises(DatabaseError, match="no partition"):
        write(first_of_month(4))


def test_row_without_a_partition_holds_up_no_others(partitioned, monkeypatch):
    # Only this thread's connection is in the schema, so the sink's own must not write.
    monkeypatch.setattr(batches, "PERIOD", 600)
    before = len(logged())
    sink = buffered.BufferedSink()
    for ahead in (9, 0, 0):
        sink.write(entry(first_of_month(ahead)))

    sink.flush()

    sink.close()
    assert len(logged()) == before + 2


def test_app_counts_and_prunes(partitioned):
    write(NOW, outcome="key_expired")
    execute(f"VACUUM ANALYZE {TABLE}")
    everything = ApiRequestLog.objects.all()

    assert usage_of(everything, until=NOW.date()).outcomes == {"accepted": 30, "key_expired": 1}
    recent = everything.filter(at__gte=first_of_month(2)).order_by().values("outcome")
    # Only the months in question are read.
    assert name_of(2) in recent.explain()
    assert name_of(1) not in recent.explain()

    out = StringIO()
    call_command("prune_request_log", "--older-than", "90d", "--batch-size", "50", stdout=out)
    assert out.getvalue().startswith("Deleted 310 ")
    assert len(logged()) == 91


def test_old_months_are_dropped(partitioned):
    write(first_of_month(2))
    execute("SELECT frappe_tokens_log_drop_months(-1)")
    assert len(partitions()) == 3

    # As if two months had passed, and none was kept.
    execute("SELECT frappe_tokens_log_drop_months(-2)")
    assert partitions() == {name_of(2), name_of(3)}
    assert logged() == [first_of_month(2)]


def test_months_start_in_utc_without_gaps_whatever_the_sessions_time_zone(table):
    execute("SET timezone = 'Europe/Berlin'")
    try:
        for statement in statements():
            execute(statement)
        execute("SELECT frappe_tokens_log_make_months(14)")
    finally:
        execute("SET timezone = 'UTC'")

    assert partitions() == {name_of(ahead) for ahead in range(1, 15)}
    bounds = execute(
        "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relispartition AND relkind = 'r'"
    )
    starts = {
        datetime.fromisoformat(f"{moment}:00").astimezone(timezone.utc)
        for (text,) in bounds
        for moment in re.findall(r"'(.+?)'", text)
    }
    assert starts == {first_of_month(ahead) for ahead in range(2, 16)}


def test_command_makes_and_drops_months(partitioned):
    (source,) = blocks("python")
    module = {}
    exec(compile(source, PAGE.name, "exec"), module)  # noqa: S102 - our own documentation

    call_command(module["Command"]())

    assert partitions() == {name_of(1), name_of(2), name_of(3)}
    assert len(logged()) == 400
