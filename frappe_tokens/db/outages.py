"""Tells a database that can't be used now from a statement that is wrong."""

from __future__ import annotations

import re
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError, connections

# SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html), numbers of MySQL and
# MariaDB (https://mariadb.com/kb/en/mariadb-error-code-reference/), and SQLite's sentences.
_MISSING_CODES = frozenset({"42P01", "42703", "1146", "1054"})
# Such as a standby that isn't promoted yet. Others call it an OperationalError.
_READ_ONLY_CODE = "25006"
_MISSING_SENTENCES = re.compile("no such (table|column)|table .* has no column named ")


def is_outage(error: Exception) -> bool:
    """Whether ``error`` means that the database doesn't answer, or isn't migrated yet.

    Or that it only lets us read.
    """
    return (
        isinstance(error, OperationalError | InterfaceError)
        or _is_missing_schema(error)
        or _is_read_only(error)
    )


def explain(error: Exception) -> str:
    """Explain ``error`` and what to do, for a log, after a colon."""
    if _is_missing_schema(error):
        return (
            "a table or a column is missing. Run manage.py migrate. With django-tenants, run "
            "migrate_schemas, and list the app in TENANT_APPS and, if it is used in the public "
            "schema, in SHARED_APPS."
        )
    if _is_read_only(error):
        return "the database is read-only."
    if is_outage(error):
        return "the database doesn't answer."
    return "the database refuses the statement."


def close_lost_connections() -> bool:
    """Close the connections that were lost since an earlier request, outside of transactions.

    Return whether there was one. If so, what failed may be read again, by a new connection. (What
    failed to be written may have been written.)
    """
    lost = [each for each in connections.all(initialized_only=True) if _is_lost(each)]
    for connection in lost:
        connection.close()
    return bool(lost)


def mark_broken_transactions() -> None:
    """Make Django roll back what it can't commit. A failing commit would replace the response.

    On PostgreSQL, an error ends the transaction. On all databases, the connection may be lost.
    """
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block and not connection.is_usable():
            connection.set_rollback(True)


def _is_lost(connection: Any) -> bool:
    return (
        connection.connection is not None
        # False at the beginning of a request. A connection that was made or checked since then may
        # have a state that the request needs, such as the tenant.
        and not connection.health_check_done
        and connection.errors_occurred
        and not connection.in_atomic_block
        and connection.get_autocommit()
        and not connection.is_usable()
    )


def _is_missing_schema(error: Exception) -> bool:
    if not isinstance(error, DatabaseError):
        return False
    first = str(next(iter(error.args), ""))
    return (_sqlstate(error) or first) in _MISSING_CODES or bool(_MISSING_SENTENCES.match(first))


def _is_read_only(error: Exception) -> bool:
    return isinstance(error, DatabaseError) and _sqlstate(error) == _READ_ONLY_CODE


def _sqlstate(error: DatabaseError) -> str | None:
    # Django's errors have the arguments of the driver's, which are their causes. The attribute of
    # psycopg2 has another name.
    driver = error.__cause__
    return getattr(driver, "sqlstate", None) or getattr(driver, "pgcode", None)
