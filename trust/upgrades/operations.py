"""Operations for large tables in use, for every database that the app supports.

Those of ``django.contrib.postgres`` need psycopg, even if the database is another one. Each of
these is alone in its migration, so that a migration that failed has done nothing and can be run
again.
"""

from __future__ import annotations

from typing import Any

from django.db.migrations import AddConstraint, AddIndex
from django.db.migrations.operations.base import Operation


class AddIndexOnline(AddIndex):
    """Add an index without blocking writes. The migration has ``atomic = False``.

    InnoDB does so by default. On SQLite, writes wait. On PostgreSQL, the log may be partitioned
    (``docs/reference/large-request-logs.md``).
    """

    atomic = False

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        connection = schema_editor.connection
        model = to_state.apps.get_model(app_label, self.model_name)
        if connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        elif self.allow_migrate_model(connection.alias, model):
            # An attempt that was interrupted leaves an index that isn't used.
            self._drop(schema_editor, model)
            if _is_partitioned(connection, model):
                self._add_to_partitions(schema_editor, model)
            else:
                schema_editor.add_index(model, self.index, concurrently=True)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        connection = schema_editor.connection
        model = from_state.apps.get_model(app_label, self.model_name)
        if connection.vendor != "postgresql":
            super().database_backwards(app_label, schema_editor, from_state, to_state)
        elif self.allow_migrate_model(connection.alias, model):
            self._drop(schema_editor, model)

    def _drop(self, schema_editor: Any, model: Any) -> None:
        # That of a partitioned table can only be dropped at once, with those of the partitions.
        how = "" if _is_partitioned(schema_editor.connection, model) else "CONCURRENTLY"
        name = schema_editor.quote_name(self.index.name)
        schema_editor.execute(f"DROP INDEX {how} IF EXISTS {name}", None)

    def _add_to_partitions(self, schema_editor: Any, model: Any) -> None:
        """Add it to one partition after the other, because PostgreSQL can't do that for all."""
        quote = schema_editor.quote_name
        partitions = _partitions(schema_editor.connection, model)
        whole = self.index.create_sql(model, schema_editor)
        # It only waits for the partitions' own, and is used once it has all of them.
        whole.parts["table"] = f"ONLY {quote(model._meta.db_table)}"
        schema_editor.execute(whole, None)
        for number, partition in partitions:
            name = quote(f"{self.index.name}_{number}")
            schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}", None)
            one = self.index.create_sql(model, schema_editor, concurrently=True)
            one.parts |= {"name": name, "table": quote(partition)}
            schema_editor.execute(one, None)
            attach = f"ALTER INDEX {quote(self.index.name)} ATTACH PARTITION {name}"
            schema_editor.execute(attach, None)


def _is_partitioned(connection: Any, model: Any) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relkind = 'p' FROM pg_class WHERE oid = %s::regclass",
            [connection.ops.quote_name(model._meta.db_table)],
        )
        return bool(cursor.fetchone()[0])


def _partitions(connection: Any, model: Any) -> list[tuple[int, str]]:
    """Return the number and the name of each partition."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid, relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
            "WHERE inhparent = %s::regclass ORDER BY inhrelid",
            [connection.ops.quote_name(model._meta.db_table)],
        )
        found: list[tuple[int, str]] = cursor.fetchall()
        return found


class AddCheckOnline(AddConstraint):
    """Add a CHECK constraint for rows to come. :class:`ValidateCheck` follows in a later migration.

    Only PostgreSQL can do that. MariaDB and MySQL copy the table, and writes wait for it
    (https://jira.mariadb.org/browse/MDEV-16356). Django does the same on SQLite.
    """

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        connection = schema_editor.connection
        model = to_state.apps.get_model(app_label, self.model_name)
        if connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        elif self.allow_migrate_model(connection.alias, model):
            sql = self.constraint.create_sql(model, schema_editor)
            schema_editor.execute(f"{sql} NOT VALID", None)


class ValidateCheck(Operation):
    """Check the rows that were there before :class:`AddCheckOnline`, while they are in use."""

    def __init__(self, model_name: str, name: str) -> None:
        self.model_name, self.name = model_name, name

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change nothing: the constraint is known already."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        connection = schema_editor.connection
        model = to_state.apps.get_model(app_label, self.model_name)
        if connection.vendor == "postgresql" and self.allow_migrate_model(connection.alias, model):
            table = schema_editor.quote_name(model._meta.db_table)
            name = schema_editor.quote_name(self.name)
            schema_editor.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}", None)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Change nothing: valid rows stay valid."""

    def describe(self) -> str:
        return f"Validate constraint {self.name} on model {self.model_name}"
