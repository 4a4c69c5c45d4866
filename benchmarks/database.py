"""A temporary database for the benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.core.management import CommandError, call_command
from django.db import connection


@contextmanager
def own_database() -> Iterator[None]:
    """Create it, migrate it, and always remove it. That of an interrupted run is replaced."""
    creation: Any = connection.creation
    name = connection.settings_dict["NAME"]
    try:
        creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    except BaseException:
        with suppress(Exception):
            creation.destroy_test_db(name, verbosity=0)
        raise
    try:
        _check_migrations()
        yield
    finally:
        _empty_redis()
        creation.destroy_test_db(name, verbosity=0)


def database_name() -> str:
    """``SQLite``, ``PostgreSQL``, ``MariaDB``, ``MySQL``."""
    if getattr(connection, "mysql_is_mariadb", False):
        return "MariaDB"
    return connection.display_name


def _empty_redis() -> None:
    """Remove our own entries. The cache's ``clear()`` would remove everything."""
    if "redis" in settings.CACHES:
        cache: Any = caches["redis"]
        client = cache._cache.get_client()
        # The database is removed even if Redis doesn't answer.
        with suppress(Exception):
            for name in client.scan_iter(f"{settings.REDIS_PREFIX}_*"):
                client.delete(name)


def _check_migrations() -> None:
    try:
        call_command("makemigrations", "benchmarks", check_changes=True, verbosity=0)
    except SystemExit:
        raise CommandError(
            "The models of the benchmarks and their migration differ: AbstractApiKey has changed. "
            "Delete benchmarks/migrations/0001_initial.py and run: "
            "python -m django makemigrations benchmarks --settings benchmarks.settings"
        ) from None
