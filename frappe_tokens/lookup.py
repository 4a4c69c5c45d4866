"""Finding the key that a request presents, and keeping note of its use."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache, partial
from typing import Any, NamedTuple

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import DatabaseError, InterfaceError, connections, router, transaction
from django.db.models import Q

from . import crypto, key_cache
from .base_models import AbstractApiKey
from .conf import Settings, conf
from .key_cache import Entry, Place
from .prepared import PreparedSelect, latest_select, prepared_select

logger = logging.getLogger(__name__)


class Found(NamedTuple):
    """A key that exists.

    Attributes:
        key: the key, its user loaded.
        entry: what it came from in the cache, without a query.
        place: where the cache may keep it; None where nothing is to be kept.
        prepared: the statement that it came by.
        columns: what is cached of it: its columns as they were read. Not as the view leaves them,
            which gets the key and the user and may change them without saving.
    """

    key: AbstractApiKey
    entry: Entry | None = None
    place: Place | None = None
    prepared: PreparedSelect | None = None
    columns: Any = None

    @property
    def from_cache(self) -> bool:
        return self.entry is not None

    def changed(self, changes: Mapping[str, Any]) -> Found:
        """The same with ``changes`` to what is cached, which the view cannot get hold of."""
        if self.prepared is None or (self.place is None and self.entry is None):
            return self
        return self._replace(columns=self.prepared.changed(self.columns, changes))

    def keep(self, due_at: float) -> None:
        """Cache it, if there is a place for it.

        Args:
            due_at: when the key's next use is to be recorded, in seconds since 1970.
        """
        if self.place is not None:
            key_cache.put(self.place, self.columns, due_at)
        elif self.entry is not None and self.prepared is not None:
            # Readers never overwrite an entry, so this process alone remembers what it recorded.
            make = self.prepared.restorer(self.key._state.db or "", self.columns)
            key_cache.remember(self.entry._replace(columns=self.columns, make=make))


def source_model(source: str, present: Settings = conf) -> type[AbstractApiKey] | None:
    """The model behind a name of ``FRAPPE_TOKENS["SOURCES"]``; None for every other name."""
    label = present.SOURCES.get(source)
    return _model(label) if label is not None else None


@cache
def _model(label: str) -> type[AbstractApiKey]:
    return apps.get_model(label)


def find(model: type[AbstractApiKey], api_key: str, present: Settings = conf) -> Found | None:
    """The key and its user: in one SELECT, or from the cache; None where there is no such key.

    Args:
        model: the source of keys.
        api_key: the presented key.
        present: the settings, or a snapshot of them.

    Raises:
        django.db.DatabaseError: if the database does not answer.
    """
    alias = router.db_for_read(model)
    alias_of_cache = present.CACHE
    prepared = latest_select(model, alias) if alias_of_cache is not None else None
    if prepared is None:
        prepared = prepared_select(model, connections[alias])
        if prepared is None:
            return _find_by_queryset(model, alias, api_key)
    if alias_of_cache is None or not prepared.may_be_kept:
        connection = connections[alias]
        row = prepared.fetch(connection, api_key)
        return Found(prepared.instance(connection, row)) if row is not None else None
    # The database is in the name: two may hold the same key, each for a tenant of its own.
    entry, place = key_cache.look(
        alias_of_cache,
        prepared.label,
        f"{alias}:{prepared.fingerprint}",
        api_key,
        partial(prepared.restorer, alias),
    )
    if entry is not None:
        return Found(entry.make(), entry, None, prepared, entry.columns)
    # What is kept must be the present row, and a replica may be behind.
    connection = connections[router.db_for_write(model)]
    # By that database's own statement: its server may have another one prepared, or must not.
    row = (prepared_select(model, connection) or prepared).fetch(connection, api_key)
    if row is None:
        return None
    if not _sees_the_present(connection):
        place = None
    return Found(prepared.instance(connection, row), None, place, prepared, prepared.kept(row))


def _find_by_queryset(model: type[AbstractApiKey], alias: str, api_key: str) -> Found | None:
    """The same where the model is none for the prepared statement."""
    keys = model._default_manager.using(alias).select_related("user").filter(api_key=api_key)
    # More than one, or one in the wrong case, where a collation was changed by hand.
    return next((Found(key) for key in keys if key.api_key == api_key), None)


def _sees_the_present(connection: Any) -> bool:
    """Whether a SELECT brings what is committed now, and not an older snapshot's row."""
    if connection.get_autocommit():
        return True
    # A transaction may see the database as it was at its beginning. Django names the level as the
    # driver does: "read committed" (MySQL), or a number with that name (PostgreSQL).
    level = getattr(connection, "isolation_level", None)
    name = getattr(level, "name", level) or ""
    return str(name).replace("_", " ").lower() == "read committed"


def find_user(username: str) -> Any:
    """The user of this name; None where there is no such user, whatever the text holds."""
    users = get_user_model()
    try:
        # No user is called so, but drivers and encoders raise errors of their own about it:
        # PostgreSQL's about a NUL, all of them about half a surrogate pair.
        username.encode()
        if "\0" in username:
            return None
        return users._default_manager.get_by_natural_key(username)
    except (users.DoesNotExist, users.MultipleObjectsReturned):
        return None
    except (TypeError, ValueError, ValidationError):
        # No name can look like this where names are numbers or UUIDs.
        return None


def record_use(
    found: Found,
    *,
    now: datetime,
    address: Callable[[], str],
    secret: str,
    slot: str,
    present: Settings = conf,
) -> None:
    """Write down that a key was used, where that is due, and renew an outdated digest.

    One UPDATE at the most, and none within ``LAST_USED_INTERVAL`` of the last. It never fails the
    request: what cannot be written is reported through ``logging``.

    Args:
        found: the key that was used.
        now: when.
        address: tells from where, "" if unknown; asked where it is written down.
        secret: the secret that was verified.
        slot: the name of the field whose digest it matched.
        present: the settings, or a snapshot of them.
    """
    key = found.key
    digest = getattr(key, slot)
    used = ["last_used_at"] if slot == "secret_digest" else ["last_used_at", "previous_used_at"]
    due = now - present.LAST_USED_INTERVAL
    # Later than that, it was recorded before the clock was set back.
    ahead = now + present.LAST_USED_INTERVAL
    changes: dict[str, Any] = {}
    # Each condition is asked again in the UPDATE. Of many processes that find it due, one writes,
    # and a secret that is being replaced at this moment stays replaced.
    conditions = []
    for name in used:
        last = getattr(key, name)
        if last is None or last <= due or last > ahead:
            changes[name] = now
            conditions.append(
                Q(**{f"{name}__isnull": True})
                | Q(**{f"{name}__lte": due})
                | Q(**{f"{name}__gt": ahead})
            )
    if "last_used_at" in changes:
        changes["last_used_ip"] = address() or None
    if not crypto.is_current(digest, present):
        changes[slot] = crypto.make_digest(secret)
        conditions.append(Q(**{slot: digest}))
    used_at: Any = changes.get("last_used_at", key.last_used_at)
    if not changes:
        if not found.from_cache:
            found.keep(_next_due_at(used_at, due))
        return
    changed = found.changed(changes)

    def write() -> None:
        # Not by the model's own queryset, which would end what is kept of every key.
        stored = type(key)._base_manager.using(alias).filter(*conditions, pk=key.pk)
        try:
            stored.update(**changes)
        except (DatabaseError, InterfaceError):
            _cannot_write(key)
        else:
            for name, value in changes.items():
                setattr(key, name, value)
            changed.keep(_next_due_at(used_at, due))

    alias = router.db_for_write(type(key))
    try:
        connection = connections[alias]
        if connection.in_atomic_block or connection.get_autocommit():
            # After the end of the request's transaction: the row would stay locked till then.
            transaction.on_commit(write, using=alias, robust=True)
        else:
            # A transaction that is run by hand tells nobody of its end.
            write()
    except (DatabaseError, InterfaceError):
        # A key from the cache is the first to need the database.
        _cannot_write(key)


def _next_due_at(used_at: datetime, due: datetime) -> float:
    """When a use is to be written down again, in seconds since 1970."""
    # By the difference: the two may be naive, and the local time of Django's settings.
    return time.time() + (used_at - due).total_seconds()


def _cannot_write(key: AbstractApiKey) -> None:
    logger.exception("The use of API key %s could not be written down.", key.api_key)
