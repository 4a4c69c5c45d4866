"""Which errors mean that the database can't be used now, and what the log says about them."""

import pytest
from django.core.exceptions import ValidationError
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
    connection,
    transaction,
)

from frappe_tokens.db import explain, is_outage, mark_broken_transactions
from frappe_tokens.models import ApiKey

AWAY, MISSING, REFUSED = "doesn't answer", "Run manage.py migrate.", "refuses the statement"
READ_ONLY = "is read-only"
TABLE = ApiKey._meta.db_table


def of_driver(error, **attributes):
    """Django's error, raised from the driver's, which has these attributes."""
    error.__cause__ = type("DriverError", (Exception,), attributes)()
    return error


@pytest.mark.parametrize(
    ("error", "outage", "sentence"),
    [
        (OperationalError("server closed the connection"), True, AWAY),
        (InterfaceError(0, ""), True, AWAY),
        (of_driver(OperationalError(), sqlstate=None), True, AWAY),
        # psycopg, psycopg2, mysqlclient, SQLite
        (of_driver(ProgrammingError("no relation"), sqlstate="42P01"), True, MISSING),
        (of_driver(ProgrammingError("no column"), sqlstate="42703"), True, MISSING),
        (of_driver(ProgrammingError("no relation"), pgcode="42P01"), True, MISSING),
        (of_driver(ProgrammingError(1146, "Table 'x' doesn't exist")), True, MISSING),
        (of_driver(OperationalError(1054, "Unknown column 'x'")), True, MISSING),
        (OperationalError("no such table: x"), True, MISSING),
        (OperationalError("no such column: x"), True, MISSING),
        (OperationalError("table x has no column named y"), True, MISSING),
        # A standby: psycopg, psycopg2
        (of_driver(InternalError("cannot UPDATE"), sqlstate="25006"), True, READ_ONLY),
        (of_driver(InternalError("cannot UPDATE"), pgcode="25006"), True, READ_ONLY),
        # Wrong statements, or wrong data
        (of_driver(ProgrammingError("syntax error"), sqlstate="42601"), False, REFUSED),
        (of_driver(ProgrammingError(1064, "You have an error")), False, REFUSED),
        (ProgrammingError(), False, REFUSED),
        (DatabaseError("no", "reason"), False, REFUSED),
        (DataError("invalid byte sequence"), False, REFUSED),
        (IntegrityError("UNIQUE constraint failed"), False, REFUSED),
        # Other errors
        (ValidationError(["42P01"]), False, REFUSED),
        (LookupError("no such table: x"), False, REFUSED),
    ],
    ids=repr,
)
def test_error_is_told_apart(error, outage, sentence):
    assert is_outage(error) is outage
    assert sentence in explain(error)


STATEMENTS = {
    "table": "SELECT 1 FROM no_such_table",
    "column": f"SELECT no_such_column FROM {TABLE}",
    "column of an INSERT": f"INSERT INTO {TABLE} (no_such_column) VALUES (1)",
    "column of an UPDATE": f"UPDATE {TABLE} SET no_such_column = 1",
    "syntax": f"SELECT FROM FROM {TABLE}",
}


@pytest.mark.django_db
@pytest.mark.parametrize("missing", STATEMENTS)
def test_database_in_use_is_understood(missing):
    with pytest.raises(DatabaseError) as raised, transaction.atomic():
        connection.cursor().execute(STATEMENTS[missing])

    assert (MISSING in explain(raised.value)) is (missing != "syntax")


@pytest.mark.django_db
@pytest.mark.parametrize("usable", [True, False])
def test_transaction_is_rolled_back_if_it_is_broken(monkeypatch, usable):
    with transaction.atomic():
        monkeypatch.setattr(connection, "is_usable", lambda: usable)

        mark_broken_transactions()

        assert transaction.get_rollback() is not usable
