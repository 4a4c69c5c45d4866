"""A statement that PostgreSQL parses and plans once for each connection, and then only executes.

For a lookup by a unique column, parsing and planning are most of the server's work. ``PREPARE`` and
``EXECUTE`` are sent as SQL through Django's own cursor, under a name that is made of the statement.
Where a connection pooler hands out the server's connections in turn, a name may be gone or be
another client's: then it is gone or the very same statement, and never another one. A driver's
numbered names (``_pg3_0``) could be anything there.

Sources: https://www.postgresql.org/docs/current/sql-prepare.html, and on poolers
https://docs.djangoproject.com/en/stable/ref/databases/#transaction-pooling-server-side-cursors.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from django.db import DatabaseError

logger = logging.getLogger(__name__)

# Classes of SQLSTATE: what is not supported (a plan that no longer fits its table, too), a name
# that is not known, and names and syntax that are refused, as by a proxy without PREPARE.
_ABOUT_PREPARING = ("0A", "26", "42")


class ServerPrepared:
    """A statement with one parameter, for all connections of one database."""

    def __init__(self, sql: str, parameter: str) -> None:
        """Name it.

        Args:
            sql: the statement, ``%s`` where its parameter stands and no other percent sign.
            parameter: the parameter's name in :meth:`execute`.
        """
        name = f"frappe_tokens_{hashlib.sha256(sql.encode()).hexdigest()[:16]}"
        self._prepare = f"PREPARE {name} AS {sql.replace('%s', '$1')}"
        self._execute = f"EXECUTE {name} (%({parameter})s)"
        self._is_forgotten = False
        # The driver's connections that were met, and whether they have the statement.
        self._connections: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()

    def execute(self, connection: Any, cursor: Any, parameters: Mapping[str, str]) -> bool:
        """Execute it if that may be done; whether the cursor has its rows now.

        False leaves the connection as it was, for the statement to be executed in the usual way.

        Args:
            connection: the present thread's.
            cursor: one of it.
            parameters: the parameter by its name.

        Raises:
            django.db.DatabaseError: what the statement itself would raise.
        """
        if self._is_forgotten or not _may_fail(connection):
            return False
        driver = connection.connection
        is_prepared = self._connections.get(driver)
        if is_prepared is None:
            # It pays where a connection is kept (CONN_MAX_AGE), and costs where each request has
            # a new one.
            self._connections[driver] = False
            return False
        try:
            if not is_prepared:
                cursor.execute(self._prepare)
                self._connections[driver] = True
            cursor.execute(self._execute, parameters)
        except DatabaseError as error:
            if not _sqlstate(error).startswith(_ABOUT_PREPARING):
                raise
            self._is_forgotten = True
            logger.info(
                "The database %r does not keep a prepared statement, as behind a connection pooler:"
                " this process does without from now on. DISABLE_SERVER_SIDE_CURSORS in DATABASES"
                " says so beforehand.",
                connection.alias,
            )
            return False
        return True


def server_prepared(sql: str, parameter: str, connection: Any) -> ServerPrepared | None:
    """The statement, or None where the database's settings or its kind rule it out.

    Args:
        sql: the statement, as for :class:`ServerPrepared`.
        parameter: the name of its parameter.
        connection: one to the database.
    """
    settings = connection.settings_dict
    # With parameters bound by the server, EXECUTE can have none; psycopg prepares statements
    # itself there, if it is told to. The other is what Django asks of those who pool transactions.
    if (
        connection.vendor != "postgresql"
        or settings["OPTIONS"].get("server_side_binding")
        or settings.get("DISABLE_SERVER_SIDE_CURSORS")
    ):
        return None
    return _shared(connection.alias, sql, parameter)


@cache
def _shared(_alias: str, sql: str, parameter: str) -> ServerPrepared:
    # One for all who ask: a connection that has the statement refuses to prepare it once more.
    return ServerPrepared(sql, parameter)


def _may_fail(connection: Any) -> bool:
    """Whether an error would harm nothing, and nobody wants to read the statement."""
    return (
        # Within a transaction an error is the end of it.
        connection.get_autocommit()
        and not connection.in_atomic_block
        and not connection.queries_logged
        and not connection.execute_wrappers
    )


def _sqlstate(error: DatabaseError) -> str:
    """The code of an error; "" where there is none, as when the connection was lost."""
    cause = error.__cause__
    # psycopg, and psycopg2.
    return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or ""
