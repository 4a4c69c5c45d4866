"""Connections of their own to the tests' database, and what its server says of them."""

from contextlib import contextmanager

from django.db import connection

from frappe_tokens.lookup.statement import LookupStatement
from frappe_tokens.models import ApiKey

TABLE = ApiKey._meta.db_table


@contextmanager
def connected(**options):
    """A new connection to the tests' database with these ``OPTIONS``."""
    twin = connection.copy()
    twin.settings_dict["OPTIONS"].update(options)
    try:
        yield twin
    finally:
        twin.close()


@contextmanager
def transaction_of(client):
    client.set_autocommit(False)
    try:
        yield
    finally:
        client.rollback()
        client.set_autocommit(True)


def find(client, api_key, model=ApiKey):
    statement = LookupStatement(model, client.copy())
    row = statement.fetch(client, api_key)
    return row and statement.instance(client.alias, row)


def execute(client, sql):
    with client.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []


def executions(client):
    """How often PostgreSQL executed each lookup that psycopg has prepared here, by its name."""
    sql = (
        "SELECT name, generic_plans + custom_plans FROM pg_prepared_statements"
        """ WHERE NOT from_sql AND statement LIKE 'SELECT "%'"""
    )
    return dict(execute(client, sql))


def lose(client):
    """Have the server keep nothing for this connection any more, without psycopg's knowledge."""
    client.connection.pgconn.exec_(b"DEALLOCATE ALL")
