"""One SELECT for a key and its user, compiled once and executed for each request.

Four fifths of a lookup through a queryset are spent on compiling the same statement again. Here,
Django's compiler runs once for each model, database and backend, and each request executes the
result with the API key as its only parameter. Django's own columns, converters and ``from_db``
create the instances, so that all other code sees ordinary models. Columns that no request needs are
deferred as in the ORM: they are loaded on first access.

If that can't give the same result (a manager with its own querysets, a backend that needs more
parameters), there is no :class:`LookupStatement`, and callers use a queryset.
"""

from __future__ import annotations

import copy
import hashlib
import logging
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

from django.core.signals import setting_changed
from django.db.backends.base.base import BaseDatabaseWrapper

from ..base_models import AbstractApiKey
from ..db import cached_instance_factory, has_default_constructor, instance_factory
from ..types import User
from .compiler import Columns, compile_lookup
from .driver_prepared import driver_prepared

logger = logging.getLogger("frappe_tokens.lookup")


class LookupStatement:
    """The statement for one model, and how its rows become instances.

    Attributes:
        label: the name of the model in a cache.
        fingerprint: changes with the columns, as after an upgrade.
        is_cacheable: whether keys and users may come from a cache.
    """

    def __init__(self, model: type[AbstractApiKey], connection: BaseDatabaseWrapper) -> None:
        """Compile the statement.

        Args:
            model: a source of keys.
            connection: compiles the statement, and stays referenced: one that no thread uses.

        Raises:
            ValueError: the model can't be served; the message says why.
        """
        self._compiled = compiled = compile_lookup(model, connection)
        self._model = model
        names = [*compiled.key_names, *compiled.user_names]
        self._split = len(compiled.key_names)
        self._api_key = names.index("api_key")
        self._user_pk = compiled.user_model._meta.pk.attname
        # A cache must hold neither password hashes nor what a project's own field may have
        # decrypted. They are loaded on first access, as the ORM does for deferred columns.
        private = {
            names[position]
            for position, functions, _ in compiled.converters
            if not all(map(_is_djangos, functions))
        }
        self._cached = [
            position for position, name in enumerate(names) if name not in {"password", *private}
        ]
        cached_names = [names[position] for position in self._cached]
        self._cached_split = sum(position < self._split for position in self._cached)
        self._cached_key_names = cached_names[: self._cached_split]
        self._cached_user_names = cached_names[self._cached_split :]
        # Models with their own constructor may not expect deferred columns.
        self.is_cacheable = has_default_constructor(compiled.user_model) and (
            self._cached_split == self._split or has_default_constructor(model)
        )
        # A named parameter: for "%s", Django's SQLite backend searches the text every time.
        self._sql = compiled.sql.replace("%s", "%(api_key)s")
        self.label = model.cache_label()
        self.fingerprint = hashlib.sha256(f"{compiled.sql}{cached_names}".encode()).hexdigest()[:16]
        self._by_driver = driver_prepared(self._sql, self.fingerprint, connection)
        self._make_key = instance_factory(model)
        self._make_user = instance_factory(compiled.user_model)

    def fetch(self, connection: BaseDatabaseWrapper, api_key: str) -> Columns | None:
        """Return the columns of the key and its user, or None, from one SELECT.

        Args:
            connection: the current thread's, to a database of the same kind.
            api_key: the presented key.

        Raises:
            django.db.DatabaseError: the database doesn't answer.
        """
        parameters = {"api_key": api_key}
        with connection.cursor() as cursor:
            if self._by_driver is None:
                cursor.execute(self._sql, parameters)
            else:
                self._by_driver.execute(cursor, parameters)
            # After a collation was changed by hand, a key in the wrong case may match.
            rows = [list(row) for row in cursor if row[self._api_key] == api_key]
        if not rows:
            return None
        (row,) = rows
        for position, functions, column in self._compiled.converters:
            value = row[position]
            for function in functions:
                value = function(value, column, connection)
            row[position] = value
        return row

    def instance(self, alias: str, row: Columns) -> AbstractApiKey:
        """Return the key, with its user loaded, from the result of :meth:`fetch`."""
        compiled, split = self._compiled, self._split
        user = None
        if row[split + compiled.user_names.index(self._user_pk)] is not None:
            user = self._make_user(alias, compiled.user_names, row[split:])
        return self._linked(self._make_key(alias, compiled.key_names, row[:split]), user)

    def columns_to_cache(self, row: Columns) -> Columns:
        """Return those of ``row`` that a cache may hold."""
        return [row[position] for position in self._cached]

    def changed(self, columns: Columns, changes: Mapping[str, object]) -> Columns:
        """Return a copy of cached ``columns`` with the key's attributes ``changes``."""
        columns = copy.deepcopy(columns)
        for position, name in enumerate(self._cached_key_names):
            columns[position] = changes.get(name, columns[position])
        return columns

    def factory(self, alias: str, columns: Columns) -> Callable[[], AbstractApiKey]:
        """Return a function that makes the key and its user of cached columns, without a query.

        Args:
            alias: the database that they come from.
            columns: from :meth:`columns_to_cache`. Changes to the instances don't affect them.
        """
        keys, users = self._cached_key_names, self._cached_user_names
        key_columns, user_columns = columns[: len(keys)], columns[len(keys) :]
        make_key = cached_instance_factory(self._model, alias, keys, key_columns)
        if user_columns[users.index(self._user_pk)] is None:
            return lambda: self._linked(make_key(), None)
        make_user = cached_instance_factory(self._compiled.user_model, alias, users, user_columns)
        return lambda: self._linked(make_key(), make_user())

    def _linked(self, key: AbstractApiKey, user: User | None) -> AbstractApiKey:
        if user is not None:
            self._compiled.set_key(user, key)
        self._compiled.set_user(key, user)
        return key


def _is_djangos(converter: Callable[..., object]) -> bool:
    return (getattr(converter, "__module__", None) or "").startswith("django.")


# By model, database and class of connection; and, by model and database, the last one used.
_statements: dict[tuple[object, ...], LookupStatement | None] = {}


def statement_for(
    model: type[AbstractApiKey], connection: BaseDatabaseWrapper
) -> LookupStatement | None:
    """Return the statement for ``model`` on ``connection``; None if a queryset must be used."""
    identity = (model, connection.alias, type(connection))
    try:
        statement = _statements[identity]
    except KeyError:
        _statements[identity] = statement = _compile(model, connection)
    _statements[identity[:2]] = statement
    return statement


def last_statement(model: type[AbstractApiKey], alias: str) -> LookupStatement | None:
    """Return the statement that was last used for ``model`` on the database ``alias``, if any.

    That is enough to look in a cache, whose entries name the statement that read them. Getting the
    thread's connection takes longer than this.
    """
    return _statements.get((model, alias))


def _compile(
    model: type[AbstractApiKey], connection: BaseDatabaseWrapper
) -> LookupStatement | None:
    # Some converters keep a reference to the connection that they were made for, which would keep
    # this thread's open after the thread has ended.
    try:
        with closing(connection.copy()) as unused:
            return LookupStatement(model, unused)
    except Exception as error:
        # The queryset gives the same result, or a better error.
        logger.info("%s is looked up through a queryset: %s", model._meta.label, error)
        return None


def _forget(*, setting: str, **_: Any) -> None:
    """Compile again after a test has changed these settings."""
    if setting in {"DATABASES", "TIME_ZONE", "USE_TZ"}:
        _statements.clear()


setting_changed.connect(_forget)
