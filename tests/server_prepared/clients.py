"""Connections of their own to the tests' database, and what its server says of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from frappe_tokens.base_models import AbstractApiKey
from frappe_tokens.models import ApiKey
from frappe_tokens.prepared import prepared_select

TABLE = ApiKey._meta.db_table


class Wrapped:
    """A driver's connection that a project has put something around, without weak references."""

    __slots__ = ("_driver",)

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)


@contextmanager
def connected(**options: Any) -> Iterator[Any]:
    """A new connection to the tests' database; ``options`` are entries of ``DATABASES``."""
    twin = connection.copy()
    # Which most projects do not name.
    twin.settings_dict.pop("DISABLE_SERVER_SIDE_CURSORS", None)
    twin.settings_dict.update(options)
    try:
        yield twin
    finally:
        twin.close()


@contextmanager
def transaction_of(client: Any) -> Iterator[None]:
    client.set_autocommit(False)
    try:
        yield
    finally:
        client.rollback()
        client.set_autocommit(True)


def find(client: Any, api_key: str, model: type[AbstractApiKey] = ApiKey) -> Any:
    statement = prepared_select(model, client)
    assert statement is not None
    row = statement.fetch(client, api_key)
    return row and statement.instance(client, row)


def execute(client: Any, sql: str) -> list[tuple[Any, ...]]:
    with client.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []


def executions(client: Any) -> list[int]:
    """How often PostgreSQL executed each statement that it keeps for this connection."""
    sql = "SELECT generic_plans + custom_plans FROM pg_prepared_statements WHERE from_sql"
    return [number for (number,) in execute(client, sql)]


_EXECUTED = {
    # Of those that are prepared now.
    "postgresql": "SELECT 0, sum(generic_plans + custom_plans) FROM pg_prepared_statements"
    " WHERE from_sql",
    # Of all that were.
    "mysql": "SHOW SESSION STATUS LIKE 'Com_execute_sql'",
}


def executed(client: Any) -> int:
    """How often the server executed what it had prepared for this connection."""
    ((_, number),) = execute(client, _EXECUTED[client.vendor])
    return int(number or 0)


def lose(client: Any) -> None:
    """Have the server keep nothing for this connection any more, as poolers do between clients."""
    if client.vendor == "postgresql":
        execute(client, "DEALLOCATE ALL")
    else:
        present = client.settings_dict
        client.connection.change_user(present["USER"], present["PASSWORD"], present["NAME"])


def kill(client: Any) -> None:
    """End the connection from the server's side."""
    postgresql = client.vendor == "postgresql"
    ask = "SELECT pg_backend_pid()" if postgresql else "SELECT CONNECTION_ID()"
    ((number,),) = execute(client, ask)
    execute(
        connection,
        f"SELECT pg_terminate_backend({number}, 5000)" if postgresql else f"KILL {number}",
    )


@contextmanager
def impatient(client: Any) -> Iterator[None]:
    """Somebody else holds the table, and ``client`` waits for no lock for long."""
    with connected() as other:
        if client.vendor == "postgresql":
            execute(client, "SET lock_timeout TO '50ms'")
            with transaction_of(other):
                execute(other, f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
                yield
        else:
            execute(client, "SET SESSION lock_wait_timeout = 0")
            execute(other, f"LOCK TABLES {TABLE} WRITE")
            yield
