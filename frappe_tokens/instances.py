"""From values to a model's instance."""

from __future__ import annotations

import copy
import datetime
import decimal
import inspect
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from django.apps import apps
from django.db import router
from django.db.models import Model
from django.db.models.base import ModelState
from django.db.models.fields.related_descriptors import ForeignKeyDeferredAttribute
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init, pre_init

Values = Sequence[Any]

_IMMUTABLE = frozenset(
    {
        bool,
        bytes,
        datetime.date,
        datetime.datetime,
        datetime.time,
        datetime.timedelta,
        decimal.Decimal,
        float,
        int,
        str,
        type(None),
        uuid.UUID,
    }
)


class WritesChangesOnly:
    """Mixed into a model: an instance from a cache saves what was changed on it, and nothing else.

    The cache may be older than the database. A view that saves ``request.user`` would otherwise
    write the cached values of all columns, and so bring back an account that was deactivated
    meanwhile. ``_state.cached`` holds the values that came from the cache, by their attname.
    """

    # A mixin's ``super()`` is the model that it is mixed into, which the type checker cannot know.

    def save_base(
        self: Any,
        raw: bool = False,
        force_insert: Any = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Any = None,
    ) -> None:
        """Write what differs from the cached values, unless the caller names the fields."""
        cached, own = getattr(self._state, "cached", None), self.__dict__
        home = (None, self._state.db, router.db_for_write(self.__class__, instance=self))
        if cached is not None and not (raw or force_insert) and using in home:
            loaded = [
                f for f in self._meta.concrete_fields if f.attname in own and not f.primary_key
            ]
            # Django names all loaded fields itself, where some are deferred.
            if update_fields is None or all(f.attname in update_fields for f in loaded):
                update_fields = [
                    f.attname
                    for f in loaded
                    if getattr(f, "auto_now", False)
                    or own[f.attname] != cached.get(f.attname, _NOTHING)
                ]
                if not update_fields:
                    return
        super().save_base(  # type: ignore[misc]
            raw=raw,
            force_insert=force_insert,
            force_update=force_update,
            using=using,
            update_fields=frozenset(update_fields) if update_fields else None,
        )

    def refresh_from_db(
        self: Any, using: Any = None, fields: Any = None, from_queryset: Any = None
    ) -> None:
        """What was read from the database again is up to date, and no change either."""
        super().refresh_from_db(using, fields, from_queryset)  # type: ignore[misc]
        cached = getattr(self._state, "cached", None)
        if cached is not None:
            named = set(fields or ())
            fresh = {
                f.attname: copy.deepcopy(self.__dict__[f.attname])
                for f in self._meta.concrete_fields
                if {f.name, f.attname} & named
            }
            self._state.cached = None if fields is None else {**cached, **fresh}


_NOTHING = object()


class _FromCache(WritesChangesOnly):
    """Stands before a model that does not extend the mixin: the project's users."""

    def __setattr__(self, name: str, value: Any) -> None:
        # What is set counts as changed, even if it is set to the cached value.
        state: Any = self.__dict__.get("_state")
        if name in (getattr(state, "cached", None) or ()):
            state.cached = {other: kept for other, kept in state.cached.items() if other != name}
        super().__setattr__(name, value)

    def __reduce__(self) -> Any:
        reduced: Any = super().__reduce__()
        return _unpickled, *reduced[1:]


def _unpickled(model: tuple[str, str]) -> Any:
    found: Any = apps.get_model(*model)
    cls = _class_from_cache(found)
    return cls.__new__(cls)


@cache
def _class_from_cache(model: Any) -> Any:
    """``model``, or a subclass of it that Django's registry does not know."""
    if issubclass(model, WritesChangesOnly):
        return model
    names = {
        "__module__": model.__module__,
        "__qualname__": model.__qualname__,
        # The senders of signals, among others, are the model itself.
        "__class__": property(lambda _self: model),
    }
    # Not by the metaclass's own way, which makes and registers a model.
    return type.__new__(type(model), model.__name__, (_FromCache, model), names)


def as_cached(instance: Any) -> Any:
    """``instance``, whose values came from a cache."""
    names = {field.attname for field in instance._meta.concrete_fields} & instance.__dict__.keys()
    instance._state.cached = {name: copy.deepcopy(instance.__dict__[name]) for name in names}
    model: Any = type(instance)
    cls = _class_from_cache(model)
    if cls is not model:
        instance.__class__ = cls
    return instance


def is_made_plainly(model: Any) -> bool:
    """Whether ``model`` leaves the making of its instances to Django, and nobody listens to it."""
    django: Any = Model
    return (
        model.from_db.__func__ is django.from_db.__func__
        and model.__init__ is django.__init__
        and model.__new__ is object.__new__
        and model.__setattr__ is object.__setattr__
        and not pre_init.has_listeners(model)
        and not post_init.has_listeners(model)
    )


def is_plain(model: Any) -> bool:
    """Whether, besides, all columns of ``model`` are attributes that just hold their value."""
    columns = [inspect.getattr_static(model, f.attname) for f in model._meta.concrete_fields]
    kinds = {type(column) for column in columns}
    return is_made_plainly(model) and kinds <= {DeferredAttribute, ForeignKeyDeferredAttribute}


def maker_of(model: Any) -> Callable[[str, Sequence[str], Values], Any]:
    """``model.from_db``, or what comes to the same in a quarter of the time.

    ``Model.__init__`` sets one attribute after the other and tells its signals. Of a plain model
    the instance's dictionary can be filled at once, as it is when Django reads a pickled instance.
    """
    if not is_plain(model):
        from_db: Callable[[str, Sequence[str], Values], Any] = model.from_db
        return from_db

    def make(alias: str, names: Sequence[str], values: Values) -> Any:
        return _filled(model, alias, zip(names, values, strict=True))

    return make


def copier_of(model: Any, alias: str, names: Sequence[str], values: Values) -> Callable[[], Any]:
    """Makes the same instance from a cache over and over, each one with values of its own.

    Args:
        model: of the instances.
        alias: the database that they are from.
        names: of the attributes.
        values: of the attributes; they stay as they are, whatever becomes of the instances.
    """
    if not is_plain(model):
        return lambda: as_cached(model.from_db(alias, names, copy.deepcopy(values)))
    cls = _class_from_cache(model)
    attributes = dict(zip(names, values, strict=True))
    mutable = [name for name, value in attributes.items() if type(value) not in _IMMUTABLE]

    def make() -> Any:
        instance = _filled(cls, alias, attributes)
        instance._state.cached = attributes
        own = instance.__dict__
        for name in mutable:
            value = own[name]
            # Most are empty lists, and a deep copy of one takes longer than all the rest.
            own[name] = [] if value == [] else copy.deepcopy(value)
        return instance

    return make


def maker_of_new(model: Any, values: Mapping[str, Any]) -> Callable[[], Any]:
    """Makes what ``model(**values)`` makes, over and over, in a fraction of the time.

    Args:
        model: of the instances.
        values: of fields, by their ``attname``; what cannot be changed in place.
    """
    if not is_plain(model):
        return lambda: model(**values)
    # Each instance has its own list, time, or API key.
    own = {
        field.attname: field.get_default
        for field in model._meta.concrete_fields
        if field.has_default() and callable(field.default) and field.attname not in values
    }
    attributes = vars(model(**values)).copy()
    del attributes["_state"]

    def make() -> Any:
        instance = _filled(model, None, attributes)
        for name, default in own.items():
            instance.__dict__[name] = default()
        return instance

    return make


def _filled(model: Any, alias: str | None, attributes: Any) -> Any:
    """An instance that is stored in ``alias``, or nowhere yet."""
    instance = model.__new__(model)
    state = ModelState()
    state.adding = alias is None
    state.db = alias
    instance.__dict__.update(attributes, _state=state)
    return instance
