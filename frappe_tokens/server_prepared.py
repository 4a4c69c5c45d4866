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
import time
from collections.abc import Mapping
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from django.db import DatabaseError

logger = logging.getLogger(__name__)

# The server notices most of what happens to the tables. What it does not (a table of the same name
# in an earlier schema of the search path, one that grew and was not analyzed) ends within this (s).
RENEWED_EVERY = 60

# Classes of SQLSTATE that are about the moment and not about the statement: rollbacks, resources,
# locks, timeouts and shutdowns. The plain statement would only wait once more.
_OF_THE_MOMENT = ("40", "53", "55", "57")

# No such table, no such column, no right to read: within a migration. It passes.
_OF_THE_TABLE = ("42P01", "42703", "42501")

# A statement of this name, and so this very statement.
_IS_THERE = "42P05"

_SEEN = 0.0


class ServerPrepared:
    """A statement with one parameter, for all connections of one database."""

    def __init__(self, sql: str, parameter: str) -> None:
        """Name it.

        Args:
            sql: the statement, ``%s`` where its parameter stands and no other percent sign.
            parameter: the parameter's name in :meth:`execute`.
        """
        name = f"frappe_tokens_{hashlib.sha256(sql.encode()).hexdigest()[:16]}"
        self._execute = f"EXECUTE {name} (%({parameter})s)"
        # In one string they are one transaction and one round trip: what PREPARE waited for, it has
        # to the end of EXECUTE.
        self._prepare = f"PREPARE {name} AS {sql.replace('%s', '$1')}; {self._execute}"
        self._renew = f"DEALLOCATE {name}; {self._prepare}"
        self._is_forgotten = False
        # The driver's connections that were met, and when each was told the statement (s).
        self._connections: WeakKeyDictionary[Any, float] = WeakKeyDictionary()

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
        driver, now = connection.connection, time.monotonic()
        try:
            prepared_at = self._connections.get(driver)
        except TypeError:  # what a project has put around it cannot be remembered
            return False
        if prepared_at is None:
            # It pays where a connection is kept (CONN_MAX_AGE), and costs where each request has
            # a new one.
            self._connections[driver] = _SEEN
            return False
        try:
            if prepared_at != _SEEN and now - prepared_at < RENEWED_EVERY:
                cursor.execute(self._execute, parameters)
            else:
                # Till it is done: an error leaves open how far it came, and DEALLOCATE is for good.
                self._connections[driver] = _SEEN
                cursor.execute(self._prepare if prepared_at == _SEEN else self._renew, parameters)
                self._connections[driver] = now
                # psycopg is at the first statement's result, psycopg2 at the last one's.
                while cursor.description is None and cursor.nextset():
                    pass
        except DatabaseError as error:
            state = _sqlstate(error)
            if not state or state.startswith(_OF_THE_MOMENT):
                raise
            if state == _IS_THERE:
                self._connections[driver] = now
            elif state not in _OF_THE_TABLE:
                self._forget(connection.alias, state)
            return False
        return True

    def _forget(self, alias: str, state: str) -> None:
        self._is_forgotten = True
        logger.info(
            "The database %r does not keep a prepared statement (SQLSTATE %s), as behind a"
            " connection pooler: this process does without from now on."
            " DISABLE_SERVER_SIDE_CURSORS in DATABASES says so beforehand.",
            alias,
            state,
        )


def server_prepared(sql: str, parameter: str, connection: Any) -> ServerPrepared | None:
    """The statement, or None where the database's settings or its kind rule it out.

    Args:
        sql: the statement, as for :class:`ServerPrepared`.
        parameter: the name of its parameter.
        connection: one to the database.
    """
    settings = connection.settings_dict
    options = settings["OPTIONS"]
    if (
        connection.vendor != "postgresql"
        # Django asks this of those who pool transactions.
        or settings.get("DISABLE_SERVER_SIDE_CURSORS")
        # With parameters bound by the server, EXECUTE can have none; psycopg prepares statements
        # itself there, if it is told to.
        or options.get("server_side_binding")
        # Tenants in schemas (django-tenants has the name here) are made while others are served,
        # and what stands in an earlier schema counts at once.
        or hasattr(connection, "schema_name")
        or "search_path" in str(options.get("options", ""))
    ):
        return None
    return _shared(connection.alias, sql, parameter)


@cache
def _shared(_alias: str, sql: str, parameter: str) -> ServerPrepared:
    # One for all who ask: a connection that has the statement refuses to prepare it once more.
    return ServerPrepared(sql, parameter)


def _may_fail(connection: Any) -> bool:
    """Whether an error would harm nothing, and nobody wants to read the statement."""
    driver = connection.connection
    libpq = getattr(driver, "pgconn", None) or getattr(driver, "info", None)
    return (
        # Within a transaction an error is the end of it, also within one that Django does not know
        # of. The driver's 0 is "idle"; asked of psycopg's libpq, it takes a thirtieth of the time.
        connection.get_autocommit()
        and not connection.in_atomic_block
        and getattr(libpq, "transaction_status", None) == 0
        and not connection.queries_logged
        and not connection.execute_wrappers
    )


def _sqlstate(error: DatabaseError) -> str:
    """The code of an error; "" where there is none, as when the connection was lost."""
    cause = error.__cause__
    # psycopg, and psycopg2.
    return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or ""
