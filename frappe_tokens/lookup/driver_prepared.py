"""A SELECT that psycopg prepares in the server, if the project has chosen this.

Django's switch is ``OPTIONS["prepare_threshold"]`` of a database. It is off by default, because
connection poolers may lose prepared statements. Even if it's on, psycopg prepares nothing that
Django's usual cursor sends, because that cursor writes the parameters into the text. So the SELECT
uses a cursor that leaves them to the server.

psycopg names prepared statements ``_pg3_0``, ``_pg3_1`` and so on, the same in each process. Behind
a pooler, such a name may be gone, or be the statement of another process. So the SELECT gives its
first column a unique name, by which rows of other statements are recognized.

Sources: https://www.psycopg.org/psycopg3/docs/advanced/prepare.html and
https://docs.djangoproject.com/en/stable/ref/databases/#transaction-pooling-server-side-cursors.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

logger = logging.getLogger("frappe_tokens.driver_prepared")

# Classes of SQLSTATE for which repeating doesn't help: rollbacks, resources, locks, timeouts and
# shutdowns. A lost connection has no SQLSTATE.
_TEMPORARY = ("40", "53", "55", "57")


def is_chosen(connection: BaseDatabaseWrapper) -> bool:
    """Whether the project has chosen that psycopg prepares statements in this database."""
    threshold = connection.settings_dict["OPTIONS"].get("prepare_threshold")
    return connection.vendor == "postgresql" and type(threshold) is int


class DriverPrepared:
    """A SELECT for the connections of a database where :func:`is_chosen`."""

    def __init__(self, sql: str, fingerprint: str) -> None:
        """Name the first column of ``sql`` by its ``fingerprint``, which no other statement has."""
        name = f"frappe_tokens_{fingerprint}"
        self._first_column = name.encode()
        self._sql = sql.replace(",", f' AS "{name}",', 1)

    def execute(self, cursor: Any, parameters: Mapping[str, str]) -> None:
        """Execute the statement with Django's ``cursor``, which then has the rows."""
        # With psycopg2, connecting with the option fails before anything comes here.
        backend: Any = import_module("django.db.backends.postgresql.base")
        given = cursor.cursor
        failure = ""
        # Wrappers that log queries need the text, which a prepared statement's cursor doesn't have.
        if type(cursor) is CursorWrapper and _is_djangos_default(given, backend):
            driver = given.connection
            # In a transaction, a lost statement would end the transaction.
            if driver.autocommit and driver.pgconn.transaction_status == 0:  # idle
                cursor.cursor = backend.ServerBindingCursor(driver)
                failure = self._try(cursor, parameters)
                if not failure:
                    return
            # Not prepared, even with Django's ``server_side_binding``.
            cursor.cursor = backend.Cursor(driver)
        cursor.execute(self._sql, parameters)
        # If this fails too, as without its table, preparing is not the cause.
        if failure:
            # Otherwise, psycopg would prepare it again and again.
            cursor.cursor.connection.prepare_threshold = None
            logger.warning(
                "The database %r answered a prepared statement with %s, which may happen behind a"
                " connection pooler or after a migration. This connection prepares nothing from now"
                " on. If this happens often, remove prepare_threshold from the database's OPTIONS.",
                cursor.db.alias,
                failure,
            )

    def _try(self, cursor: Any, parameters: Mapping[str, str]) -> str:
        """Execute the prepared statement. Return what was wrong; "" for nothing."""
        try:
            cursor.execute(self._sql, parameters)
            if cursor.cursor.pgresult.fname(0) == self._first_column:
                return ""
            return "another statement's rows"
        except DatabaseError as error:
            code = getattr(error.__cause__, "sqlstate", None)
            if not code or code.startswith(_TEMPORARY):
                raise
            return f"the error {code}"


def _is_djangos_default(cursor: Any, backend: Any) -> bool:
    """Whether the cursor is as Django creates it by default.

    A project's own cursor, or one that traces statements, must see this statement. And if settings
    changed since Django connected, it has given the cursor its own time zone.
    """
    return type(cursor) in (backend.Cursor, backend.ServerBindingCursor) and (
        cursor.adapters.get_loader(backend.TIMESTAMPTZ_OID, 0)  # of text
        is cursor.connection.adapters.get_loader(backend.TIMESTAMPTZ_OID, 0)
    )
