"""One SELECT for a key and its user, compiled once and then only executed.

Four fifths of what a lookup costs through a queryset is Django putting the same statement together
again. Here its compiler writes the statement once for each model, database and backend; afterwards
every request executes it with the API key as its only parameter. Django's own columns, converters
and ``from_db`` make the instances, so that all that sees them sees ordinary models. The columns of
a key that no request needs are deferred in the ORM's way: they are loaded when asked for.

Where this cannot be done with the same result (a manager with querysets of its own, a backend that
wants more parameters), there is no :class:`PreparedSelect`, and whoever asks uses a queryset.
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

from .base_models import AbstractApiKey
from .compiled import compile_select
from .driver_prepared import driver_prepared
from .instances import as_cached, copier_of, is_made_plainly, maker_of

logger = logging.getLogger(__name__)


class PreparedSelect:
    """The statement for one model, and how its rows become instances.

    Attributes:
        label: what the keys of this model go by in a cache.
        fingerprint: changes with the columns that are read, as they do in an upgrade.
        may_be_kept: whether a cache may take part.
    """

    def __init__(self, model: type[AbstractApiKey], connection: Any) -> None:
        """Compile the statement.

        Args:
            model: a source of keys.
            connection: compiles it, and stays with it: one that no thread uses.

        Raises:
            ValueError: the model cannot be served so; the message says why.
        """
        compiled = compile_select(model, connection)
        self._key_names, self._user_names = compiled.key_names, compiled.user_names
        self._split = len(compiled.key_names)
        self._key_model, self._user_model = model, compiled.user_model
        self._user_pk: str = compiled.user_model._meta.pk.attname
        self._set_user, self._set_key = compiled.set_user, compiled.set_key
        self._api_key = compiled.key_names.index("api_key")
        self._converters = [one for one in compiled.converters if _is_djangos(one[1])]
        # A field of the project's own may decrypt. What it makes is in no cache.
        self._late_converters = [one for one in compiled.converters if not _is_djangos(one[1])]
        # By name, because Django replaces it at every execution: on SQLite that takes a search by
        # regular expression for "%s", and next to nothing for a name.
        self._sql = compiled.sql.replace("%s", "%(api_key)s")
        self.label = model.cache_label()
        self.fingerprint = hashlib.sha256(compiled.sql.encode()).hexdigest()[:16]
        self._by_driver = driver_prepared(self._sql, self.fingerprint, connection)
        # A cache has no business with the hash of a password. Whoever asks a user from the cache
        # for it has it loaded then, as the ORM does with deferred columns.
        self._kept_user_names = [name for name in self._user_names if name != "password"]
        # One that does something of its own with its columns may stumble over a deferred one.
        self.may_be_kept = is_made_plainly(compiled.user_model)
        self._make_key = maker_of(model)
        self._make_user = maker_of(compiled.user_model)

    def fetch(self, connection: Any, api_key: str) -> list[Any] | None:
        """The columns of the key and its user, or None; one SELECT.

        Args:
            connection: the present thread's, to a database of the same kind.
            api_key: the presented key.

        Raises:
            django.db.DatabaseError: if the database does not answer.
        """
        parameters = {"api_key": api_key}
        with connection.cursor() as cursor:
            if self._by_driver is None:
                cursor.execute(self._sql, parameters)
            else:
                self._by_driver.execute(cursor, parameters)
            # A column whose collation was changed by hand may be found by a key in the wrong case.
            rows = [list(row) for row in cursor if row[self._api_key] == api_key]
        if not rows:
            return None
        (row,) = rows
        _convert(row, self._converters, connection)
        return row

    def instance(self, connection: Any, row: list[Any]) -> Any:
        """The key, its user loaded, of what :meth:`fetch` gave."""
        return self._build(connection, row, self._user_names)

    def kept(self, row: list[Any]) -> list[Any]:
        """``row`` for a cache: without the hash of the user's password."""
        user_columns = zip(self._user_names, row[self._split :], strict=True)
        return row[: self._split] + [value for name, value in user_columns if name != "password"]

    def changed(self, kept: list[Any], changes: Mapping[str, Any]) -> list[Any]:
        """A copy of what :meth:`kept` gave, with the key's attributes ``changes``."""
        kept = copy.deepcopy(kept)
        for position, name in enumerate(self._key_names):
            kept[position] = changes.get(name, kept[position])
        return kept

    def restorer(self, alias: str, kept: list[Any]) -> Callable[[], Any]:
        """Makes the key and its user again, from what :meth:`kept` gave. No query.

        Args:
            alias: the database that they are from.
            kept: stays as it is, whatever a view does to the instances.
        """
        split, names = self._split, self._kept_user_names
        if self._late_converters:
            return lambda: self._build(connections[alias], copy.deepcopy(kept), names, as_cached)
        make_key = copier_of(self._key_model, alias, self._key_names, kept[:split])
        if kept[split + names.index(self._user_pk)] is None:
            make_user: Callable[[], Any] = _nobody
        else:
            make_user = copier_of(self._user_model, alias, names, kept[split:])

        def restore() -> Any:
            return self._together(make_key(), make_user())

        return restore

    def _build(
        self,
        connection: Any,
        row: list[Any],
        user_names: list[str],
        finish: Callable[[Any], Any] = lambda instance: instance,
    ) -> Any:
        if self._late_converters:
            row = [*row]
            _convert(row, self._late_converters, connection)
        alias, split = connection.alias, self._split
        key = finish(self._make_key(alias, self._key_names, row[:split]))
        user = None
        if row[split + user_names.index(self._user_pk)] is not None:
            user = finish(self._make_user(alias, user_names, row[split:]))
        return self._together(key, user)

    def _together(self, key: Any, user: Any) -> Any:
        if user is not None:
            self._set_key(user, key)
        self._set_user(key, user)
        return key


def _nobody() -> None:
    """The user of a key without one."""


def _is_djangos(functions: Sequence[Callable[..., Any]]) -> bool:
    modules = [getattr(function, "__module__", None) or "" for function in functions]
    return all(module.startswith("django.") for module in modules)


def _convert(row: list[Any], converters: Sequence[Any], connection: Any) -> None:
    for position, functions, column in converters:
        value = row[position]
        for function in functions:
            value = function(value, column, connection)
        row[position] = value


# By model, database and kind of connection; and by model and database the one that was used last.
_prepared: dict[tuple[Any, ...], PreparedSelect | None] = {}


def prepared_select(model: type[AbstractApiKey], connection: Any) -> PreparedSelect | None:
    """The statement for ``model`` on such a ``connection``; None where a queryset has to do."""
    which = (model, connection.alias, type(connection))
    try:
        prepared = _prepared[which]
    except KeyError:
        _prepared[which] = prepared = _compile(model, connection)
    _prepared[which[:2]] = prepared
    return prepared


def latest_select(model: type[AbstractApiKey], alias: str) -> PreparedSelect | None:
    """The statement that was last used for ``model`` on the database ``alias``, if any.

    It is enough to find an entry of a cache by, since those name the statement that they came by;
    and to ask for the thread's connection takes longer than this.
    """
    return _prepared.get((model, alias))


def _compile(model: type[AbstractApiKey], connection: Any) -> PreparedSelect | None:
    # Some converters hold on to the connection that they were made for. Were it this thread's, it
    # would stay open when the thread has ended.
    try:
        with closing(connection.copy()) as twin:
            return PreparedSelect(model, twin)
    except Exception as error:
        # Whatever it is, the queryset gives the same answer, or an error that says more.
        logger.info("%s is looked up through a queryset: %s", model._meta.label, error)
        return None


def _forget(*, setting: str, **_: Any) -> None:
    """Tests change settings that are compiled in."""
    if setting in {"DATABASES", "TIME_ZONE", "USE_TZ"}:
        _prepared.clear()


setting_changed.connect(_forget)
