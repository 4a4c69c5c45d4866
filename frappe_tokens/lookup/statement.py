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
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

from django.core.signals import setting_changed
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from ..base_models import AbstractApiKey
from ..db import cached_instance_factory, has_default_constructor, instance_factory, mark_as_cached
from ..types import User
from .compiler import Columns, Converter, compile_lookup
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
        compiled = compile_lookup(model, connection)
        self._key_names, self._user_names = compiled.key_names, compiled.user_names
        self._split = len(compiled.key_names)
        self._key_model, self._user_model = model, compiled.user_model
        self._user_pk: str = compiled.user_model._meta.pk.attname
        self._set_user, self._set_key = compiled.set_user, compiled.set_key
        self._api_key = compiled.key_names.index("api_key")
        self._converters = [c for c in compiled.converters if _is_djangos(c[1])]
        # The converter of a project's own field may decrypt. Its result must not be cached.
        self._late_converters = [c for c in compiled.converters if not _is_djangos(c[1])]
        # A named parameter: for "%s", Django's SQLite backend searches the text every time.
        self._sql = compiled.sql.replace("%s", "%(api_key)s")
        self.label = model.cache_label()
        self.fingerprint = hashlib.sha256(compiled.sql.encode()).hexdigest()[:16]
        self._by_driver = driver_prepared(self._sql, self.fingerprint, connection)
        # A cache must not hold password hashes. A cached user's is loaded on first access, as the
        # ORM does for deferred columns.
        self._cached_user_names = [name for name in self._user_names if name != "password"]
        # A user model with its own constructor may not expect deferred columns.
        self.is_cacheable = has_default_constructor(compiled.user_model)
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
        _convert(row, self._converters, connection)
        return row

    def instance(self, connection: BaseDatabaseWrapper, row: Columns) -> AbstractApiKey:
        """Return the key, with its user loaded, from the result of :meth:`fetch`."""
        return self._build(connection, row, self._user_names)

    def columns_to_cache(self, row: Columns) -> Columns:
        """Return ``row`` without the hash of the user's password."""
        user_columns = zip(self._user_names, row[self._split :], strict=True)
        return row[: self._split] + [value for name, value in user_columns if name != "password"]

    def changed(self, columns: Columns, changes: Mapping[str, object]) -> Columns:
        """Return a copy of cached ``columns`` with the key's attributes ``changes``."""
        columns = copy.deepcopy(columns)
        for position, name in enumerate(self._key_names):
            columns[position] = changes.get(name, columns[position])
        return columns

    def factory(self, alias: str, columns: Columns) -> Callable[[], AbstractApiKey]:
        """Return a function that makes the key and its user of cached columns, without a query.

        Args:
            alias: the database that they come from.
            columns: from :meth:`columns_to_cache`. Changes to the instances don't affect them.
        """
        split, names = self._split, self._cached_user_names
        if self._late_converters:
            return lambda: self._build(
                connections[alias], copy.deepcopy(columns), names, mark_as_cached
            )
        make_key = cached_instance_factory(self._key_model, alias, self._key_names, columns[:split])
        if columns[split + names.index(self._user_pk)] is None:
            make_user: Callable[[], User | None] = _no_user
        else:
            make_user = cached_instance_factory(self._user_model, alias, names, columns[split:])

        return lambda: self._linked(make_key(), make_user())

    def _build(
        self,
        connection: BaseDatabaseWrapper,
        row: Columns,
        user_names: list[str],
        finish: Callable[[Any], Any] = lambda instance: instance,
    ) -> AbstractApiKey:
        if self._late_converters:
            row = [*row]
            _convert(row, self._late_converters, connection)
        alias, split = connection.alias, self._split
        key = finish(self._make_key(alias, self._key_names, row[:split]))
        user = None
        if row[split + user_names.index(self._user_pk)] is not None:
            user = finish(self._make_user(alias, user_names, row[split:]))
        return self._linked(key, user)

    def _linked(self, key: AbstractApiKey, user: User | None) -> AbstractApiKey:
        if user is not None:
            self._set_key(user, key)
        self._set_user(key, user)
        return key


def _no_user() -> None:
    """Make the user of a key without one."""


def _is_djangos(functions: Sequence[Callable[..., object]]) -> bool:
    modules = [getattr(function, "__module__", None) or "" for function in functions]
    return all(module.startswith("django.") for module in modules)


def _convert(
    row: Columns, converters: Sequence[Converter], connection: BaseDatabaseWrapper
) -> None:
    for position, functions, column in converters:
        value = row[position]
        for function in functions:
            value = function(value, column, connection)
        row[position] = value


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


def _forget(*, setting: str, **_: object) -> None:
    """Compile again after a test has changed these settings."""
    if setting in {"DATABASES", "TIME_ZONE", "USE_TZ"}:
        _statements.clear()


setting_changed.connect(_forget)
