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
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from typing import Any

from django.core.signals import setting_changed
from django.db import connections
from django.db.models import QuerySet
from django.db.models.manager import BaseManager

from .base_models import AbstractApiKey, ApiKeyQuerySet
from .instances import as_cached, copier_of, is_made_plainly, is_plain, maker_of
from .server_prepared import server_prepared

logger = logging.getLogger(__name__)

# Neither the decision nor a view has use for them, and each column costs the database, the driver
# and Python some time. A user is always whole.
_DEFERRED = frozenset(
    {
        "created_at",
        "created_by",
        "last_used_ip",
        "live",
        "revoked_by",
        "revoked_reason",
        "rotated_at",
    }
)


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
        manager = model._default_manager
        if type(manager).get_queryset is not BaseManager.get_queryset:
            raise ValueError("its manager decides anew what each queryset is")
        if manager._queryset_class not in (QuerySet, ApiKeyQuerySet):
            raise ValueError("its manager has a queryset of its own")
        names = {field.name for field in model._meta.concrete_fields}
        # A model that does something of its own with its instances may need all of them for it.
        deferred = names & _DEFERRED if is_plain(model) else set()
        keys = manager.using(connection.alias).select_related("user").defer(*deferred).order_by()
        # It is never executed with this text, which serves to find the parameter.
        compiler: Any = keys.filter(api_key=__name__).query.get_compiler(connection=connection)
        sql, parameters = compiler.as_sql()
        if tuple(parameters) != (__name__,):
            raise ValueError("its statement takes other parameters than the key")
        if sql.count("%") != 1:
            raise ValueError("there is a percent sign in the name of a column")
        columns = [column for column, _, _ in compiler.select]
        (user,) = compiler.klass_info["related_klass_infos"]
        self._key_names = _names(
            model, columns, compiler.klass_info["select_fields"], start=0, deferred=deferred
        )
        self._split = len(self._key_names)
        self._user_names = _names(user["model"], columns, user["select_fields"], start=self._split)
        self._user_pk: str = user["model"]._meta.pk.attname
        self._set_user: Callable[[Any, Any], None] = user["local_setter"]
        self._set_key: Callable[[Any, Any], None] = user["remote_setter"]
        self._api_key = self._key_names.index("api_key")
        converters = [
            (position, functions, column)
            for position, (functions, column) in compiler.get_converters(columns).items()
        ]
        self._converters = [one for one in converters if _is_djangos(one[1])]
        # A field of the project's own may decrypt. What it makes is in no cache.
        self._late_converters = [one for one in converters if not _is_djangos(one[1])]
        # By name, because Django replaces it at every execution: on SQLite that takes a search by
        # regular expression for "%s", and next to nothing for a name.
        self._sql: str = sql.replace("%s", "%(api_key)s")
        self._by_server = server_prepared(sql, "api_key", connection)
        self.label = model.cache_label()
        self.fingerprint = hashlib.sha256(sql.encode()).hexdigest()[:16]
        # A cache has no business with the hash of a password. Whoever asks a user from the cache
        # for it has it loaded then, as the ORM does with deferred columns.
        self._kept_user_names = [name for name in self._user_names if name != "password"]
        # One that does something of its own with its columns may stumble over a deferred one.
        self.may_be_kept = is_made_plainly(user["model"])
        self._key_model, self._user_model = model, user["model"]
        self._make_key = maker_of(model)
        self._make_user = maker_of(user["model"])

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
            by_server = self._by_server
            if by_server is None or not by_server.execute(connection, cursor, parameters):
                cursor.execute(self._sql, parameters)
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


def _names(
    model: Any,
    columns: Sequence[Any],
    positions: Sequence[int],
    *,
    start: int,
    deferred: Collection[str] = (),
) -> list[str]:
    """The attributes that ``from_db`` takes, in the order of the columns.

    Raises:
        ValueError: they are not the columns of the model, in its order, from ``start`` on.
    """
    names = [columns[position].target.attname for position in positions]
    expected = [f.attname for f in model._meta.concrete_fields if f.name not in deferred]
    if names != expected or list(positions) != list(range(start, start + len(names))):
        raise ValueError(
            f"its statement does not bring the columns of {model._meta.label} in order"
        )
    return names


def _forget(*, setting: str, **_: Any) -> None:
    """Tests change settings that are compiled in."""
    if setting in {"DATABASES", "TIME_ZONE", "USE_TZ"}:
        _prepared.clear()


setting_changed.connect(_forget)
