"""Tells a database that can't be used now from a statement that is wrong."""

from __future__ import annotations

import re
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError, connections

# SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html), numbers of MySQL and
# MariaDB (https://mariadb.com/kb/en/mariadb-error-code-reference/), and SQLite's sentences.
_CONFLICT_CODES = frozenset({"40001", "40P01", "1020", "1213"})
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


def is_conflict(error: Exception) -> bool:
    """Whether the database ended the transaction because of a parallel one. Repeating it helps.

    It's a deadlock, or an isolation level that allows nothing newer than the transaction.
    """
    return _code(error) in _CONFLICT_CODES


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
    code = _code(error)
    return code in _MISSING_CODES or bool(_MISSING_SENTENCES.match(code))


def _is_read_only(error: Exception) -> bool:
    return _code(error) == _READ_ONLY_CODE


def _code(error: Exception) -> str:
    """Return the driver's code, or what it says first; "" if ``error`` isn't the database's."""
    if not isinstance(error, DatabaseError):
        return ""
    # Django's errors have the arguments of the driver's, which are their causes. The attribute of
    # psycopg2 has another name.
    driver, first = error.__cause__, str(next(iter(error.args), ""))
    return str(getattr(driver, "sqlstate", None) or getattr(driver, "pgcode", None) or first)
