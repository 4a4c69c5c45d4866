"""The table of the request log: locked, gone, or in a database of its own."""

from contextlib import closing, contextmanager
from functools import partial

from django.db import connections
from django.db.backends.sqlite3.base import DatabaseWrapper

from frappe_tokens.models import ApiRequestLog

from .tables import gone

TABLE = ApiRequestLog._meta.db_table

ELSEWHERE = "replica"

_LOCK = {
    "sqlite": ["BEGIN {}"],
    "postgresql": ["BEGIN", f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE"],
    "mysql": [f"LOCK TABLES {TABLE} WRITE"],
}


@contextmanager
def locked_log(alias="default", sqlite="EXCLUSIVE"):
    """Another connection holds the table (on SQLite: the database; if IMMEDIATE, for writing)."""
    with closing(connections[alias].copy()) as other, other.cursor() as cursor:
        for statement in _LOCK[other.vendor]:
            cursor.execute(statement.format(sqlite))
        try:
            yield
        finally:
            cursor.execute("UNLOCK TABLES" if other.vendor == "mysql" else "ROLLBACK")


log_gone = partial(gone, TABLE)


class _LogElsewhere:
    def db_for_read(self, model, **hints):
        return ELSEWHERE if model is ApiRequestLog else None

    db_for_write = db_for_read


@contextmanager
def log_elsewhere(settings, folder):
    """The log is in a database of its own, a file of SQLite in ``folder``, with nothing else.

    It replaces the connection ``ELSEWHERE``, which the test's mark must name.
    """
    own = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "logs.sqlite3")}
    complete = connections.configure_settings({"default": {}, ELSEWHERE: own})[ELSEWHERE]
    before = connections[ELSEWHERE]
    connections[ELSEWHERE] = DatabaseWrapper(complete, ELSEWHERE)
    try:
        with connections[ELSEWHERE].schema_editor() as editor:
            editor.create_model(ApiRequestLog)
        settings.DATABASE_ROUTERS = [_LogElsewhere()]
        yield
    finally:
        settings.DATABASE_ROUTERS = []
        connections[ELSEWHERE].close()
        connections[ELSEWHERE] = before
