"""Finding the key that a request presents."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

from django.apps import apps
from django.core.cache import caches
from django.db import DEFAULT_DB_ALIAS, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from ..base_models import AbstractApiKey
from ..conf import conf
from ..waiting import MustWait, is_in_memory
from . import cache
from .cache import CacheEntry, Slot
from .statement import Columns, compiled, statement_for


class Found(NamedTuple):
    """A key that exists.

    Attributes:
        key: the key, with its user loaded.
        columns: its columns as they were read, to be cached. The view may change the instances
            without saving them.
        slot: where to cache it; None if it must not be cached.
        entry: the cache entry that it comes from, if any.
    """

    key: AbstractApiKey
    columns: Columns = ({}, None)
    slot: Slot | None = None
    entry: CacheEntry | None = None

    def changed(self, changes: Mapping[str, object]) -> Found:
        """Return a copy with ``changes`` made to the columns that will be cached."""
        key, user = copy.deepcopy(self.columns)
        key.update((name, value) for name, value in changes.items() if name in key)
        return self._replace(columns=(key, user))

    def store(self, due_at: float) -> None:
        """Cache the key, if allowed, until its next use must be recorded (s since 1970)."""
        if self.slot is not None:
            cache.put(self.slot, self.columns, due_at)
        elif self.entry is not None:
            # Readers never overwrite an entry, so only this process knows about the use.
            cache.remember(self.entry.slot, self.entry.word, self.entry.ends_at, self.columns)


def source_model(source: str) -> type[AbstractApiKey] | None:
    """Return the model for a name in ``FRAPPE_TOKENS["SOURCES"]``; None for any other name."""
    label = conf.SOURCES.get(source)
    return _model(label) if label is not None else None


def find(
    model: type[AbstractApiKey],
    api_key: str,
    *,
    accepts: Callable[[Columns], bool] | None = None,
    may_wait: bool = True,
) -> Found | None:
    """Return the key with its user, from one SELECT or the cache; None if there is no such key.

    Args:
        accepts: whether these cached columns may be used. If not, the database is read. By default,
            all may.

    Raises:
        django.db.DatabaseError: the database doesn't answer.
        MustWait: not ``may_wait``, and this process's memory has no such entry.
    """
    cache_alias = conf.CACHE
    if not may_wait:
        _require_memory(model, cache_alias)
    # A replica may lag behind: it would accept a revoked key and refuse a new one.
    alias = router.db_for_write(model)
    statement = statement_for(model, alias)
    if statement is None:
        return _find_with_queryset(model, alias, api_key)
    if cache_alias is None or not statement.is_cacheable:
        row = statement.fetch(connections[alias], api_key)
        return Found(statement.instance(row)) if row is not None else None
    # With django-tenants, each tenant has a schema. A key must not open the site of another tenant.
    schema = getattr(connections[alias], "schema_name", "") if statement.has_schemas else ""
    origin = f"{alias}:{schema}:{statement.fingerprint}"
    wanted = Slot(cache_alias, statement.label, api_key, origin, statement.factory)
    entry, slot = cache.look(wanted)
    if entry is not None and (accepts is None or accepts(entry.columns)):
        return Found(entry.make(), entry.columns, None, entry)
    if not may_wait:
        raise MustWait
    connection = connections[alias]
    row = statement.fetch(connection, api_key)
    if row is None:
        return None
    if not _reads_latest_commit(connection):
        slot = None
    return Found(statement.instance(row), statement.columns_to_cache(row), slot)


# Each request asks, and Django parses the label and checks its registry every time.
@functools.cache
def _model(label: str) -> type[AbstractApiKey]:
    model: type[AbstractApiKey] = apps.get_model(label)
    return model


def _require_memory(model: type[AbstractApiKey], cache_alias: str | None) -> None:
    """Raise MustWait if even a look into the cache may wait."""
    # A router may read what a middleware has set in the request's thread.
    if cache_alias is None or router.routers or not is_in_memory(caches[cache_alias]):
        raise MustWait
    statement = compiled(model, DEFAULT_DB_ALIAS)
    if statement is None or not statement.reads_cache_at_once:
        raise MustWait


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
    name = getattr(level, "name", level)
    return str(name).replace("_", " ").lower() == "read committed"
