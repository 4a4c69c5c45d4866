"""Which connections wait for a lock of the database."""

from __future__ import annotations

import re
from typing import Any

from django.db import OperationalError

_MARIADB_TRANSACTION = re.compile(r"^---TRANSACTION ", re.MULTILINE)
_MARIADB_THREAD = re.compile(r"^(?:MariaDB|MySQL) thread id (\d+)", re.MULTILINE)


def connection_id(connection: Any) -> int | None:
    """Return the server's number of a connection; None for SQLite."""
    if connection.vendor == "postgresql":
        return int(connection.connection.info.backend_pid)
    return int(connection.connection.thread_id()) if connection.vendor == "mysql" else None


def waiting_ids(connection: Any) -> set[int]:
    """Return the connections that wait for a lock now, by their numbers."""
    if connection.vendor == "sqlite":
        return set()
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Not pg_stat_activity: a process that got its lock looks there as if it still waited.
            cursor.execute("SELECT pid FROM pg_locks WHERE NOT granted")
            return {pid for (pid,) in cursor.fetchall()}
        # Not information_schema.INNODB_TRX, which is up to 0.1 seconds old.
        cursor.execute("SHOW ENGINE INNODB STATUS")
        text = cursor.fetchone()[2].partition("LIST OF TRANSACTIONS FOR EACH SESSION")[2]
    return {
        int(thread[1])
        for block in _MARIADB_TRANSACTION.split(text)
        if "LOCK WAIT" in block and (thread := _MARIADB_THREAD.search(block))
    }


def is_busy(error: OperationalError) -> bool:
    """Whether SQLite would have waited for another connection."""
    return "database is locked" in str(error)
