"""Saving many keys with few statements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..batches import can_insert_rows, insert_rows, update_rows
from ..models import ApiKey


def write_keys(keys: Iterable[Any], fields: Sequence[str], alias: str) -> None:
    """Save ``keys``, new ones and others.

    Args:
        keys: not so many that one statement cannot take them.
        fields: what has changed of those that exist.
        alias: the database.
    """
    new: list[ApiKey] = []
    existing: list[ApiKey] = []
    for key in keys:
        (new if key._state.adding else existing).append(key)
    if new:
        insert_keys(new, alias)
    if existing:
        update_rows(existing, fields, alias)


def insert_keys(keys: list[ApiKey], alias: str) -> None:
    """Save new ``keys``, which have their primary keys then."""
    if can_insert_rows(alias):
        insert_rows(keys, "api_key", alias)
        return
    stored = ApiKey._default_manager.using(alias)
    stored.bulk_create(keys)
    # MySQL does not tell the primary keys of many new rows.
    untold = {key.api_key: key for key in keys if key.pk is None}
    for api_key, pk in stored.filter(api_key__in=untold).values_list("api_key", "pk"):
        untold[api_key].pk = pk
        untold[api_key]._state.adding = False
        untold[api_key]._state.db = alias
