"""Filters by a text in a JSON object, with the same result on every database."""

from __future__ import annotations

from typing import Any

from django.db import connections
from django.db.models import BinaryField, CharField, F, Func, Q, QuerySet, Value
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.lookups import Exact


def with_json_text(rows: QuerySet[Any], field: str, name: str, text: str) -> QuerySet[Any]:
    """Return the ``rows`` whose JSON object ``field`` has ``text`` under ``name``.

    Django's own lookup also finds other types than text: on SQLite lists, and ``true`` for the text
    "true"; on MariaDB numbers too, and texts with other spaces at the end.

    Args:
        field: the name of a JSONField.
        name: letters, digits, "_", "-" and ".", starting with a letter.
    """
    value = KeyTransform(name, field)
    vendor, is_text = connections[rows.db].vendor, Q()
    if vendor == "sqlite":
        path = Value(f'$."{name}"')
        kind = Func(F(field), path, function="JSON_TYPE", output_field=CharField())
        is_text = Q(Exact(kind, "text"))
    elif vendor == "mysql":
        kind = Func(value, function="JSON_TYPE", output_field=CharField())
        octets = Func(
            KeyTextTransform(name, field),
            template="CAST(%(expressions)s AS BINARY)",
            output_field=BinaryField(),
        )
        is_text = Q(Exact(kind, "STRING"), Exact(octets, text.encode()))
    found: QuerySet[Any] = rows.filter(is_text).alias(json_text=value).filter(json_text=text)
    return found
