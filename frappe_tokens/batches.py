"""Many rows with few statements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from django.db import connections
from django.db.models import Expression, Field, Model

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
    for some in in_batches(rows, _rows_a_statement(alias, len(same), len(varying), len(rows))):
        changes: dict[str, Any] = {
            column.attname: _ByRow(
                model._meta.pk, {row.pk: getattr(row, column.attname) for row in some}, column
            )
            for column in varying
        }
        stored = model._default_manager.using(alias).filter(pk__in=[row.pk for row in some])
        stored.update(**same, **changes)


def _rows_a_statement(alias: str, same: int, varying: int, rows: int) -> int:
    limit = connections[alias].features.max_query_params
    # A row takes its primary key once, and once more with each value of its own.
    return rows if limit is None else max(1, (limit - same) // (1 + 2 * varying))


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
