"""One SELECT for a key and its user, compiled once and executed for each request.

Four fifths of a lookup through a queryset are spent on compiling the same statement again. Here,
Django's compiler runs once for each model and database, and each request executes the result with
the API key as its only parameter. Django's own columns, converters and ``from_db`` create the
instances, so that all other code sees ordinary models. Columns that no request needs are deferred
as in the ORM: they are loaded on first access.

If that can't give the same result (a manager with its own querysets, a backend that needs more
parameters), there is no :class:`LookupStatement`, and callers use a queryset.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from contextlib import closing
from typing import Any

from django.core.signals import setting_changed
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet
from django.db.models.manager import BaseManager

from ..base_models import AbstractApiKey, ApiKeyQuerySet
from ..db import InstanceFactory
from ..types import User
from .driver_prepared import DriverPrepared, is_chosen

logger = logging.getLogger("frappe_tokens.lookup")

# Neither the decision nor most views need these, and each column costs time in the database, the
# driver and Python. All columns of the user are loaded.
_DEFERRED = frozenset(
    {
        "created_at",
        "created_by",
        "description",
        "disabled_by",
        "last_used_ip",
        "lifetime",
        "live",
        "metadata",
        "revoked_by",
        "revoked_reason",
        "rotated_at",
        "self_rotate",
    }
)

# The attributes of a key and of its user, if any, in the order of their columns.
Columns = tuple[dict[str, Any], dict[str, Any] | None]


class LookupStatement:
    """The statement for one model in one database, and how its rows become instances.

    Attributes:
        alias: the database.
        label: the name of the model in a cache.
        fingerprint: changes with the columns, as after an upgrade.
        is_cacheable: whether keys and users may come from a cache.
        has_schemas: whether connections have a current schema, ``schema_name``.
        reads_cache_at_once: whether a cached key takes neither a connection nor the project's code.
    """

    def __init__(self, model: type[AbstractApiKey], connection: BaseDatabaseWrapper) -> None:
        """Compile the statement. The converters keep a reference to ``connection``.

        Raises:
            ValueError: the model's queryset may have another result; the message says why.
        """
        self.alias = connection.alias
        manager, fields = model._default_manager, model._meta.concrete_fields
        if type(manager).get_queryset is not BaseManager.get_queryset:
            raise ValueError("its manager overrides get_queryset()")
        if manager._queryset_class not in (QuerySet, ApiKeyQuerySet):
            raise ValueError("its manager has its own queryset class")
        self._keys = InstanceFactory(model)
        # A model with its own constructor or attributes may need all columns.
        deferred = {f.name for f in fields} & _DEFERRED if self._keys.is_plain else set()
        keys = manager.select_related("user").defer(*deferred).order_by()
        # The value only serves to recognize the parameter.
        compiler: Any = keys.filter(api_key=__name__).query.get_compiler(connection=connection)
        sql, parameters = compiler.as_sql()
        if tuple(parameters) != (__name__,):
            raise ValueError("its statement has parameters other than the key")
        if sql.count("%") != 1:
            raise ValueError("the name of a column contains a percent sign")
        columns = [column for column, _, _ in compiler.select]
        key, (user,) = compiler.klass_info, compiler.klass_info["related_klass_infos"]
        self._key_names = [f.attname for f in fields if f.name not in deferred]
        self._user_names = [f.attname for f in user["model"]._meta.concrete_fields]
        names = [*self._key_names, *self._user_names]
        if [*key["select_fields"], *user["select_fields"]] != list(range(len(columns))) or (
            names != [column.target.attname for column in columns]
        ):
            raise ValueError("its statement doesn't return the columns of both models in order")
        self._user_pk = user["model"]._meta.pk.attname
        self._api_key = names.index("api_key")
        self._set_user, self._set_key = user["local_setter"], user["remote_setter"]
        self._users = InstanceFactory(user["model"])
        self._converters = compiler.get_converters(columns)
        # Neither password hashes nor values that a project's own field may have decrypted belong in
        # a cache. They are loaded on first access, like deferred columns.
        self._private = {"password"} | {
            column.target.attname
            for functions, column in self._converters.values()
            if not (all(map(_is_djangos, functions)) or column.target.primary_key)
        }
        # Models with their own constructor may not expect deferred columns.
        self.is_cacheable = self._users.has_default_constructor and (
            self._keys.has_default_constructor or self._private.isdisjoint(self._key_names)
        )
        self.label = model.cache_label()
        self.has_schemas = hasattr(connection, "schema_name")
        self.reads_cache_at_once = (
            self.is_cacheable and self._keys.has_default_constructor and not self.has_schemas
        )
        fingerprint = f"{sql}{sorted(self._private)}".encode()
        self.fingerprint = hashlib.sha256(fingerprint).hexdigest()[:16]
        # A named parameter: for "%s", Django's SQLite backend searches the text every time.
        sql = sql.replace("%s", "%(api_key)s")
        self._prepared = DriverPrepared(sql, self.fingerprint) if is_chosen(connection) else None
        self._sql = sql

    def fetch(self, connection: BaseDatabaseWrapper, api_key: str) -> Columns | None:
        """Return the columns of the key and its user, or None, from one SELECT.

        Raises:
            django.db.DatabaseError: the database doesn't answer.
        """
        parameters = {"api_key": api_key}
        with connection.cursor() as cursor:
            if self._prepared is None:
                cursor.execute(self._sql, parameters)
            else:
                self._prepared.execute(cursor, parameters)
            # After a collation was changed by hand, a key in the wrong case may match.
            rows = [list(row) for row in cursor if row[self._api_key] == api_key]
        if not rows:
            return None
        row = rows[0]
        for position, (functions, column) in self._converters.items():
            value = row[position]
            for function in functions:
                value = function(value, column, connection)
            row[position] = value
        user = dict(zip(self._user_names, row[len(self._key_names) :], strict=True))
        has_user = user[self._user_pk] is not None
        return dict(zip(self._key_names, row, strict=False)), user if has_user else None

    def instance(self, columns: Columns) -> AbstractApiKey:
        """Return the key, with its user loaded, from the result of :meth:`fetch`."""
        key, user = columns
        return self._linked(
            self._keys.create(self.alias, key),
            self._users.create(self.alias, user) if user else None,
        )

    def columns_to_cache(self, columns: Columns) -> Columns:
        """Return what a cache may hold of the result of :meth:`fetch`."""
        key, user = (
            {name: value for name, value in (part or {}).items() if name not in self._private}
            for part in columns
        )
        return key, user or None

    def factory(self, columns: Columns) -> Callable[[], AbstractApiKey]:
        """Return a function that creates the key and its user from cached columns.

        Changes to the instances don't affect ``columns``.
        """
        key, user = columns
        make_key = self._keys.from_cache(self.alias, key)
        make_user = self._users.from_cache(self.alias, user) if user else lambda: None
        return lambda: self._linked(make_key(), make_user())

    def _linked(self, key: AbstractApiKey, user: User | None) -> AbstractApiKey:
        if user is not None:
            self._set_key(user, key)
        self._set_user(key, user)
        return key


def _is_djangos(converter: Callable[..., object]) -> bool:
    return (getattr(converter, "__module__", None) or "").startswith("django.")


_statements: dict[tuple[type[AbstractApiKey], str], LookupStatement | None] = {}


def statement_for(model: type[AbstractApiKey], alias: str) -> LookupStatement | None:
    """Return the statement for ``model`` in this database; None if a queryset must be used."""
    try:
        return _statements[model, alias]
    except KeyError:
        statement = _statements[model, alias] = _compile(model, alias)
        return statement


def compiled(model: type[AbstractApiKey], alias: str) -> LookupStatement | None:
    """Return the same, but None if it isn't compiled yet. Compiling it may take a connection."""
    return _statements.get((model, alias))


def _compile(model: type[AbstractApiKey], alias: str) -> LookupStatement | None:
    # Some converters keep a reference to their connection. This thread's would stay open after the
    # thread has ended.
    connection = connections[alias]
    try:
        with closing(connection.copy()) as unused:
            return LookupStatement(model, unused)
    except Exception as error:
        # The queryset has the same result, or a better error.
        logger.info("%s is looked up through a queryset: %s", model._meta.label, error)
        return None


def _forget(*, setting: str, **_: Any) -> None:
    """Compile again after a test has changed these settings."""
    if setting in {"DATABASES", "TIME_ZONE", "USE_TZ"}:
        _statements.clear()


setting_changed.connect(_forget)
