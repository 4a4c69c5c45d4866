"""A statement that the database's server parses once for each connection, and then only executes.

For a lookup by a unique column, that and planning are most of the server's work. How it is said to
PostgreSQL and MariaDB is in :mod:`frappe_tokens.server_dialects`; here is when, and what happens
when the server does not have the statement any more.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from django.db import DatabaseError

from .server_dialects import Dialect, MariaDB, Meaning, PostgreSQL

logger = logging.getLogger(__name__)

_SEEN = 0.0


class ServerPrepared:
    """A statement with one parameter, for all connections of one database."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
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
        if (
            self._is_forgotten
            # Somebody wants to read the statement.
            or connection.queries_logged
            or connection.execute_wrappers
        ):
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
        if not self._dialect.serves(connection):
            return False
        try:
            if prepared_at != _SEEN and now - prepared_at < self._dialect.seconds:
                self._dialect.execute(cursor, parameters)
            else:
                # Till it is done: an error leaves open how far it came.
                self._connections[driver] = _SEEN
                self._dialect.prepare(cursor, parameters, again=prepared_at != _SEEN)
                self._connections[driver] = now
        except DatabaseError as error:
            code = self._dialect.code(error)
            meaning = self._dialect.meaning(code)
            if meaning is Meaning.OF_THE_MOMENT:
                raise
            if meaning is Meaning.IS_THERE:
                self._connections[driver] = now
            elif meaning is Meaning.IS_LOST:
                self._forget(connection.alias, code)
            return False
        return True

    def _forget(self, alias: str, code: str) -> None:
        self._is_forgotten = True
        logger.info(
            "The database %r answers a prepared statement with the error %s, as it does behind a"
            " connection pooler: this process sends the usual one from now on."
            " DISABLE_SERVER_SIDE_CURSORS in DATABASES says so beforehand.",
            alias,
            code,
        )


def server_prepared(sql: str, parameter: str, connection: Any) -> ServerPrepared | None:
    """The statement, or None where the database's settings or its kind rule it out.

    Args:
        sql: the statement, ``%s`` where its parameter stands and no other percent sign.
        parameter: the name of its parameter.
        connection: one to the database.
    """
    settings = connection.settings_dict
    # Django asks this of those who pool transactions.
    if settings.get("DISABLE_SERVER_SIDE_CURSORS"):
        return None
    if connection.vendor == "postgresql" and not _binds_or_has_schemas(connection):
        return _shared(connection.alias, PostgreSQL, sql, parameter)
    if connection.vendor == "mysql" and settings["NAME"]:
        return _shared(connection.alias, MariaDB, sql, parameter, settings["NAME"])
    return None


def _binds_or_has_schemas(connection: Any) -> bool:
    options = connection.settings_dict["OPTIONS"]
    return (
        # With parameters bound by the server, EXECUTE can have none; psycopg prepares statements
        # itself there, if it is told to.
        bool(options.get("server_side_binding"))
        # Tenants in schemas (django-tenants has the name here) are made while others are served,
        # and what stands in an earlier schema counts at once.
        or hasattr(connection, "schema_name")
        or "search_path" in str(options.get("options", ""))
    )


@cache
def _shared(_alias: str, dialect: Any, *of_dialect: str) -> ServerPrepared:
    # One for all who ask: a connection that has the statement refuses to prepare it once more.
    return ServerPrepared(dialect(*of_dialect))
