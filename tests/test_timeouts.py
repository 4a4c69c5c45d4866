"""Reading without waiting for long, on each kind of database."""

import contextlib
import time

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction

from frappe_tokens.db import statement_timeout
from frappe_tokens.models import ApiRequestLog

from .log_tables import TABLE, locked_log

BOUNDS = {
    "sqlite": "PRAGMA busy_timeout",
    "postgresql": "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')",
    "mysql": "SELECT @@lock_wait_timeout",
}


def bounds():
    with connection.cursor() as cursor:
        cursor.execute(BOUNDS[connection.vendor])
        return cursor.fetchone()


@pytest.mark.django_db(transaction=True)
def test_does_not_wait_for_a_lock():
    connection.ensure_connection()
    with locked_log():
        began = time.monotonic()
        with pytest.raises(DatabaseError), statement_timeout("default"):
            ApiRequestLog.objects.exists()
        waited = time.monotonic() - began
    assert waited < 4
    assert not ApiRequestLog.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_does_not_wait_for_a_lock_in_a_transaction_that_goes_on():
    # On SQLite a transaction that began to read is not locked out.
    table = TABLE if connection.vendor != "sqlite" else "no_such_table"
    lock = locked_log() if connection.vendor != "sqlite" else contextlib.nullcontext()
    with lock, transaction.atomic():
        with (
            pytest.raises(DatabaseError),
            statement_timeout("default"),
            connection.cursor() as cursor,
        ):
            cursor.execute(f"SELECT 1 FROM {table}")
        assert not User.objects.exists()


@pytest.mark.parametrize("fails", [True, False])
@pytest.mark.parametrize("in_transaction", [True, False])
@pytest.mark.django_db(transaction=True)
def test_leaves_the_connection_as_it_was(in_transaction, fails):
    with transaction.atomic() if in_transaction else contextlib.nullcontext():
        before = bounds()
        with contextlib.suppress(DatabaseError), statement_timeout("default"):
            within = bounds()
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM no_such_table" if fails else "SELECT 1")
        assert within != before
        assert bounds() == before
