"""Finding the key that a request presents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache as cached_forever
from functools import partial
from typing import NamedTuple

from django.apps import apps
from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from ..base_models import AbstractApiKey
from ..conf import conf
from . import cache
from .cache import CacheEntry, Slot
from .compiler import Columns
from .statement import LookupStatement, last_statement, statement_for


class Found(NamedTuple):
    """A key that exists.

    Attributes:
        key: the key, with its user loaded.
        entry: the cache entry that it was made from, without a query.
        slot: where to cache it; None if it must not be cached.
        statement: the statement that read it.
        columns: what to cache: its columns as they were read. The view may change the instances
            without saving them.
    """

    key: AbstractApiKey
    entry: CacheEntry | None = None
    slot: Slot | None = None
    statement: LookupStatement | None = None
    columns: Columns = []

    @property
    def is_from_cache(self) -> bool:
        return self.entry is not None

    def changed(self, changes: Mapping[str, object]) -> Found:
        """Return a copy with ``changes`` made to the columns that will be cached."""
        if self.statement is None or (self.slot is None and self.entry is None):
            return self
        return self._replace(columns=self.statement.changed(self.columns, changes))

    def store(self, due_at: float) -> None:
        """Cache the key, if it may be cached.

        Args:
            due_at: when its next use must be recorded, in seconds since 1970.
        """
        if self.slot is not None:
            cache.put(self.slot, self.columns, due_at)
        elif self.entry is not None and self.statement is not None:
            # Readers never overwrite an entry, so only this process remembers what it recorded.
            make = self.statement.factory(self.key._state.db or "", self.columns)
            cache.remember(self.entry._replace(columns=self.columns, make=make))


def source_model(source: str) -> type[AbstractApiKey] | None:
    """Return the model for a name in ``FRAPPE_TOKENS["SOURCES"]``; None for any other name."""
    label = conf.SOURCES.get(source)
    return _model(label) if label is not None else None


_model: Callable[[str], type[AbstractApiKey]] = cached_forever(apps.get_model)


def find(model: type[AbstractApiKey], api_key: str) -> Found | None:
    """Return the key with its user, from one SELECT or the cache; None if there is no such key.

    Args:
        model: the source of keys.
        api_key: the presented key.

    Raises:
        django.db.DatabaseError: the database doesn't answer.
    """
    alias = router.db_for_read(model)
    cache_alias = conf.CACHE
    statement = last_statement(model, alias) if cache_alias is not None else None
    if statement is None:
        statement = statement_for(model, connections[alias])
        if statement is None:
            return _find_with_queryset(model, alias, api_key)
    if cache_alias is None or not statement.is_cacheable:
        connection = connections[alias]
        row = statement.fetch(connection, api_key)
        return Found(statement.instance(connection.alias, row)) if row is not None else None
    # The database is part of the name: two tenants' databases may hold the same key.
    entry, slot = cache.look(
        cache_alias,
        statement.label,
        f"{alias}:{statement.fingerprint}",
        api_key,
        partial(statement.factory, alias),
    )
    if entry is not None:
        return Found(entry.make(), entry, None, statement, entry.columns)
    # Only the current row may be cached, and a replica may lag behind.
    connection = connections[router.db_for_write(model)]
    # That database may be of another kind, which has its own statement.
    row = (statement_for(model, connection) or statement).fetch(connection, api_key)
    if row is None:
        return None
    if not _reads_latest_commit(connection):
        slot = None
    key = statement.instance(connection.alias, row)
    return Found(key, None, slot, statement, statement.columns_to_cache(row))


def _find_with_queryset(model: type[AbstractApiKey], alias: str, api_key: str) -> Found | None:
    """Fallback for models that the compiled statement can't serve."""
    keys = model._default_manager.using(alias).select_related("user").filter(api_key=api_key)
    # After a collation was changed by hand, there may be several, or one in the wrong case.
    return next((Found(key) for key in keys if key.api_key == api_key), None)


def _reads_latest_commit(connection: BaseDatabaseWrapper) -> bool:
    """Whether a SELECT returns what is committed now, rather than the row of an older snapshot."""
    if connection.get_autocommit():
        return True
    # A transaction may see the database as it was when it began. Django names the isolation level
    # as the driver does: "read committed" (MySQL), or a number with that name (PostgreSQL).
    level = getattr(connection, "isolation_level", None)
    name = getattr(level, "name", level) or ""
    return str(name).replace("_", " ").lower() == "read committed"
