"""Many rows with few statements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar

from django.db import connections
from django.db.models import Expression, Field, Model
from django.views.decorators.debug import sensitive_variables

T = TypeVar("T")
_Row = TypeVar("_Row", bound=Model)


def in_batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """``items`` in lists of ``size``, the last one perhaps shorter."""
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def update_rows(rows: Sequence[_Row], fields: Iterable[str], alias: str) -> None:
    """Write ``fields`` of ``rows``, which are in the database already.

    One UPDATE, or two or three where the database takes fewer parameters than that needs.

    Args:
        rows: instances of one model; at least one.
        fields: the names of the fields to be written.
        alias: the database.
    """
    model = type(rows[0])
    same: dict[str, Any] = {}
    varying: list[Any] = []
    for name in fields:
        column: Any = model._meta.get_field(name)
        first = getattr(rows[0], column.attname)
        if all(getattr(row, column.attname) == first for row in rows):
            same[column.attname] = first
        else:
            varying.append(column)
    # A row takes its primary key once, and once more with each value of its own.
    for some in in_batches(rows, _rows_a_statement(alias, len(same), 1 + 2 * len(varying), rows)):
        changes: dict[str, Any] = {
            column.attname: _ByRow(
                model._meta.pk, {row.pk: getattr(row, column.attname) for row in some}, column
            )
            for column in varying
        }
        stored = model._default_manager.using(alias).filter(pk__in=[row.pk for row in some])
        stored.update(**same, **changes)


def can_insert_rows(alias: str) -> bool:
    """Whether :func:`insert_rows` knows how to, on this database."""
    connection = connections[alias]
    # MySQL has no RETURNING, and other words for a list of values.
    return (
        connection.vendor in {"sqlite", "postgresql", "mysql"}
        and connection.features.can_return_rows_from_bulk_insert
    )


@sensitive_variables()
def insert_rows(rows: Sequence[_Row], unique: str, alias: str) -> None:
    """Write new ``rows``, which have their primary keys then.

    ``bulk_create()`` writes the same. It prepares and sends each column of each row, though most
    are alike in all rows: here, these are prepared and sent once. One INSERT, or a few where the
    database takes fewer parameters than that needs; call it in a transaction.

    Args:
        rows: new instances of one model, without expressions and database defaults, which gets its
            primary keys from the database.
        unique: the name of a field in which they all differ.
        alias: the database, one that :func:`can_insert_rows`.
    """
    connection = connections[alias]
    meta: Any = type(rows[0])._meta
    field = meta.get_field(unique)
    same, varying = _columns(rows, field, connection)
    quoted = connection.ops.quote_name
    into = f"INSERT INTO {quoted(meta.db_table)} ({', '.join(map(quoted, [*varying, *same]))})"
    own = ", ".join(map(quoted, varying))
    one = f"({', '.join(['%s'] * len(varying))})"
    told = f"{quoted(field.column)}, {quoted(meta.pk.column)}"
    taken = own + ", %s" * len(same)
    select = f"SELECT {taken} FROM own RETURNING {told}"  # noqa: S608 - names of the model

    pks: dict[Any, Any] = {}
    size = _rows_a_statement(alias, len(same), len(varying), rows)
    for some in in_batches(zip(*varying.values(), strict=True), size):
        listed = ", ".join([one] * len(some))
        sql = f"{into} WITH own ({own}) AS (VALUES {listed}) {select}"
        with connection.cursor() as cursor:
            cursor.execute(sql, [*chain.from_iterable(some), *same.values()])
            # By what they differ in, as no database promises to tell them in order.
            pks.update(cursor.fetchall())
    for row in rows:
        row.pk = pks[getattr(row, field.attname)]
        row._state.adding = False
        row._state.db = alias


@sensitive_variables()
def _columns(
    rows: Sequence[_Row], unique: Any, connection: Any
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """What the database takes for ``rows``: by column, one value for all, or one for each."""
    same: dict[str, Any] = {}
    varying: dict[str, list[Any]] = {}
    fields: Any = type(rows[0])._meta.concrete_fields
    for field in fields:
        if field.primary_key:
            continue
        values = [field.pre_save(row, add=True) for row in rows]
        if field is not unique and values.count(values[0]) == len(values):
            same[field.column] = field.get_db_prep_save(values[0], connection)
        else:
            varying[field.column] = [field.get_db_prep_save(value, connection) for value in values]
    return same, varying


def _rows_a_statement(alias: str, same: int, each: int, rows: Sequence[Any]) -> int:
    limit = connections[alias].features.max_query_params
    return len(rows) if limit is None else max(1, (limit - same) // each)


class _ByRow(Expression):
    """For each row its own value, by primary key.

    ``bulk_update()`` writes the same as a CASE of conditions. Making, resolving and compiling a
    condition for each row takes ten times as long as all the rest of an update.
    """

    def __init__(self, pk: Field[Any, Any], values: Mapping[Any, Any], field: Any) -> None:
        super().__init__(output_field=field)
        self.pk = pk
        self.values = values

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        params: list[Any] = []
        for pk, value in self.values.items():
            params.append(self.pk.get_db_prep_value(pk, connection))
            params.append(self.output_field.get_db_prep_save(value, connection))
        column = connection.ops.quote_name(self.pk.column)
        return f"CASE {column} {'WHEN %s THEN %s ' * len(self.values)}END", tuple(params)
