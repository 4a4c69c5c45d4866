"""How PostgreSQL and MariaDB keep a statement, in SQL, and what their errors mean for it.

Both have ``PREPARE`` and ``EXECUTE``, which are sent through Django's own cursor. The statement's
name is made of its text and of all else that it depends on. So where a connection pooler hands out
the server's connections in turn, a name is gone or it is the very same statement, and never
another one. A driver's numbered names (``_pg3_0``) could be anything there.

Sources: https://www.postgresql.org/docs/current/sql-prepare.html,
https://mariadb.com/kb/en/prepare-statement/, and on poolers
https://docs.djangoproject.com/en/stable/ref/databases/#transaction-pooling-server-side-cursors.
"""

from __future__ import annotations

import enum
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from django.db import DatabaseError


class Meaning(enum.Enum):
    """What an error says of a statement that was prepared, or was to be."""

    OF_THE_MOMENT = enum.auto()  # the plain statement would only wait once more
    OF_THE_TABLE = enum.auto()  # within a migration; it passes
    IS_THERE = enum.auto()  # one of this name, and so this very statement
    IS_LOST = enum.auto()  # whatever else it may be


class Dialect(ABC):
    """A statement with one parameter, as one kind of server keeps it.

    Attributes:
        seconds: for how long it is executed before it is prepared anew.
    """

    seconds: float

    @abstractmethod
    def serves(self, connection: Any) -> bool:
        """Whether an error of the statement would harm nothing on this connection, now."""

    @abstractmethod
    def prepare(self, cursor: Any, parameters: Mapping[str, str], *, again: bool) -> None:
        """Have it prepared and execute it.

        Args:
            cursor: has the rows then.
            parameters: the parameter by its name.
            again: it has been prepared on this connection.
        """

    @abstractmethod
    def execute(self, cursor: Any, parameters: Mapping[str, str]) -> None:
        """Execute what was prepared."""

    @abstractmethod
    def code(self, error: DatabaseError) -> str:
        """The server's code of an error; "" where there is none, as for a lost connection."""

    @abstractmethod
    def meaning(self, code: str) -> Meaning:
        """What to make of :meth:`code`."""


class PostgreSQL(Dialect):
    """PostgreSQL, which parses and plans a statement for longer than it looks up a key."""

    # It notices most of what happens to the tables. What it does not (a table of the same name in
    # an earlier schema of the search path, one that grew and was not analyzed) ends within this.
    seconds = 60

    # Classes of SQLSTATE: rollbacks, resources, locks, timeouts and shutdowns.
    _OF_THE_MOMENT = ("40", "53", "55", "57")
    # No such table, no such column, no right to read.
    _OF_THE_TABLE = ("42P01", "42703", "42501")
    _IS_THERE = "42P05"

    def __init__(self, sql: str, parameter: str) -> None:
        """Name it.

        Args:
            sql: the statement, ``%s`` where its parameter stands and no other percent sign.
            parameter: the parameter's name in ``parameters``.
        """
        name = _name(sql)
        self._execute = f"EXECUTE {name} (%({parameter})s)"
        # In one string they are one transaction and one round trip: what PREPARE waited for, it has
        # to the end of EXECUTE.
        self._prepare = f"PREPARE {name} AS {sql.replace('%s', '$1')}; {self._execute}"
        self._renew = f"DEALLOCATE {name}; {self._prepare}"

    def serves(self, connection: Any) -> bool:
        driver = connection.connection
        libpq = getattr(driver, "pgconn", None) or getattr(driver, "info", None)
        # Within a transaction an error is the end of it, also within one that Django does not know
        # of. The driver's 0 is "idle"; asked of psycopg's libpq, it takes a thirtieth of the time.
        return (
            connection.get_autocommit()
            and not connection.in_atomic_block
            and getattr(libpq, "transaction_status", None) == 0
        )

    def prepare(self, cursor: Any, parameters: Mapping[str, str], *, again: bool) -> None:
        cursor.execute(self._renew if again else self._prepare, parameters)
        # psycopg is at the first statement's result, psycopg2 at the last one's.
        while cursor.description is None and cursor.nextset():
            pass

    def execute(self, cursor: Any, parameters: Mapping[str, str]) -> None:
        cursor.execute(self._execute, parameters)

    def code(self, error: DatabaseError) -> str:
        cause = error.__cause__
        # psycopg, and psycopg2.
        return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or ""

    def meaning(self, code: str) -> Meaning:
        if not code or code.startswith(self._OF_THE_MOMENT):
            return Meaning.OF_THE_MOMENT
        if code in self._OF_THE_TABLE:
            return Meaning.OF_THE_TABLE
        return Meaning.IS_THERE if code == self._IS_THERE else Meaning.IS_LOST


class MariaDB(Dialect):
    """MariaDB, which has less to save than PostgreSQL. MySQL's EXECUTE takes no values."""

    # It plans at each execution and notices what happens to tables; to prepare takes it as long as
    # eight lookups save.
    seconds = 3600

    # Out of memory, shutting down, waits that were too long, deadlocks, killed, a node that left
    # its cluster, a table that was changed since the transaction began, a lock or an XA transaction
    # that stands in the way. From 2000 to 2999 they are the driver's: the server does not answer.
    _OF_THE_MOMENT = frozenset(
        {"1020", "1037", "1038", "1041", "1047", "1053", "1100", "1205", "1206", "1213"}
        | {"1226", "1317", "1399", "1412", "1927", "1969"}
    )
    # No such table, no such column, no right to read the one or the other, a view of such.
    _OF_THE_TABLE = frozenset({"1054", "1142", "1143", "1146", "1356"})

    def __init__(self, sql: str, parameter: str, database: str) -> None:
        """Name it.

        Args:
            sql: the statement, ``%s`` where its parameter stands and no other percent sign.
            parameter: the parameter's name in ``parameters``.
            database: where its tables are.
        """
        name = _name(sql, database)
        # A statement stays with the database that it was prepared in, also after a USE. There its
        # keys may be another tenant's. EXP(1000) is an error, and evaluated in that case alone.
        here = "BINARY DATABASE() <=> %(database)s"
        # And it stays with the past that it was prepared to read.
        now = "@@system_versioning_asof = 'DEFAULT'"
        self._prepare = f"PREPARE {name} FROM IF({here} AND {now}, %(sql)s, EXP(1000))"
        self._execute = f"EXECUTE {name} USING IF({here}, %({parameter})s, EXP(1000))"
        self._sql = sql.replace("%s", "?")
        self._database = database

    def serves(self, connection: Any) -> bool:
        # Here a transaction outlives an error. What the server is, Django asks once, and with its
        # own features has asked when it connected.
        is_mariadb: bool = connection.mysql_is_mariadb
        return is_mariadb

    def prepare(self, cursor: Any, parameters: Mapping[str, str], *, again: bool) -> None:
        # In place of one of the same name.
        cursor.execute(self._prepare, {"database": self._database, "sql": self._sql})
        self.execute(cursor, parameters)

    def execute(self, cursor: Any, parameters: Mapping[str, str]) -> None:
        cursor.execute(self._execute, {**parameters, "database": self._database})

    def code(self, error: DatabaseError) -> str:
        return str(error.args[0]) if error.args else ""

    def meaning(self, code: str) -> Meaning:
        if code in self._OF_THE_MOMENT or not code.isdecimal() or 2000 <= int(code) < 3000:
            return Meaning.OF_THE_MOMENT
        return Meaning.OF_THE_TABLE if code in self._OF_THE_TABLE else Meaning.IS_LOST


def _name(*depends_on: str) -> str:
    return f"frappe_tokens_{hashlib.sha256(repr(depends_on).encode()).hexdigest()[:16]}"
