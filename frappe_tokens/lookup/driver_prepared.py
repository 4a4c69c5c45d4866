"""A SELECT that psycopg prepares in the server, where the project has chosen that.

Django's switch for it is ``OPTIONS["prepare_threshold"]`` of a database. It is off by default, as
connection poolers may lose prepared statements. Even where it is on, psycopg prepares nothing that
Django's usual cursor sends, because that cursor writes the parameters into the text. So the SELECT
goes through a cursor that leaves them to the server.

psycopg names what it prepares ``_pg3_0``, ``_pg3_1`` and so on, the same in each process. Behind a
pooler, such a name may be gone, or it may be the statement of another process. So the SELECT names
its first column in a way that no other statement does, and no other statement's rows are taken.

Sources: https://www.psycopg.org/psycopg3/docs/advanced/prepare.html and
https://docs.djangoproject.com/en/stable/ref/databases/#transaction-pooling-server-side-cursors.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from django.db import DatabaseError
from django.db.backends.utils import CursorWrapper

logger = logging.getLogger(__name__)

# Classes of SQLSTATE for what would only happen again: rollbacks, resources, locks, and timeouts
# and shutdowns. A connection that is lost has no SQLSTATE.
_OF_THE_MOMENT = ("40", "53", "55", "57")


class DriverPrepared:
    """A SELECT for all connections of a database whose settings choose to prepare.

    Attributes:
        sql: the statement as it is sent.
    """

    def __init__(self, sql: str, fingerprint: str) -> None:
        """Name the first column.

        Args:
            sql: a SELECT of several columns.
            fingerprint: differs from those of other statements.
        """
        name = f"frappe_tokens_{fingerprint}"
        self._first_column = name.encode()
        self.sql = sql.replace(",", f' AS "{name}",', 1)

    def execute(self, cursor: Any, parameters: Mapping[str, str]) -> None:
        """Execute it; ``cursor``, which is Django's, then has its rows.

        Raises:
            django.db.DatabaseError: if the database does not answer.
        """
        backend, given = _backend(), cursor.cursor
        # Whoever logs queries asks the cursor for the text, which it has for no prepared statement.
        if type(cursor) is CursorWrapper and _is_djangos_default(given, backend):
            driver = given.connection
            # The end of a transaction would be too high a price for a statement that is lost.
            if driver.autocommit and driver.pgconn.transaction_status == 0:  # idle
                cursor.cursor = backend.ServerBindingCursor(driver)
                if self._is_executed(cursor, parameters):
                    return
            # Never prepared, also with Django's ``server_side_binding``.
            cursor.cursor = backend.Cursor(driver)
        cursor.execute(self.sql, parameters)

    def _is_executed(self, cursor: Any, parameters: Mapping[str, str]) -> bool:
        reason = "another statement's rows"
        try:
            cursor.execute(self.sql, parameters)
            if cursor.cursor.pgresult.fname(0) == self._first_column:
                return True
        except DatabaseError as error:
            code = getattr(error.__cause__, "sqlstate", None)
            if not code or code.startswith(_OF_THE_MOMENT):
                raise
            reason = f"the error {code}"
        # psycopg would execute it again and again. Nothing is prepared on this connection now.
        cursor.cursor.connection.prepare_threshold = None
        logger.warning(
            "The database %r answers a prepared statement with %s, as it may behind a connection"
            " pooler or after a migration. This connection prepares nothing from now on. If this"
            " happens often, remove prepare_threshold from the database's OPTIONS.",
            cursor.db.alias,
            reason,
        )
        return False


def driver_prepared(sql: str, fingerprint: str, connection: Any) -> DriverPrepared | None:
    """The statement, or None where the project has not chosen to prepare.

    Args:
        sql: a SELECT of several columns.
        fingerprint: differs from those of other statements.
        connection: one to the database.
    """
    threshold = connection.settings_dict["OPTIONS"].get("prepare_threshold")
    is_chosen = isinstance(threshold, int) and not isinstance(threshold, bool)
    if is_chosen and connection.vendor == "postgresql":
        return DriverPrepared(sql, fingerprint)
    return None


@cache
def _backend() -> Any:
    # With psycopg2 the server refuses the option, and there is no connection to come here with.
    return import_module("django.db.backends.postgresql.base")


def _is_djangos_default(cursor: Any, backend: Any) -> bool:
    """Whether the cursor is as Django makes it by default.

    One of the project's, or of a tool that traces statements, is to see this one. And where
    settings changed since Django connected, it has given the cursor a time zone of its own.
    """
    return type(cursor) in (backend.Cursor, backend.ServerBindingCursor) and (
        cursor.adapters.get_loader(backend.TIMESTAMPTZ_OID, 0)  # of text
        is cursor.connection.adapters.get_loader(backend.TIMESTAMPTZ_OID, 0)
    )
