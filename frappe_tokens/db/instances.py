"""Creates model instances fast, and has those from a cache save only what was changed."""

from __future__ import annotations

import copy
import datetime
import decimal
import inspect
import uuid
from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

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


# For the type checker a model; at run time any class that comes before one.
if TYPE_CHECKING:
    _Base = Model
else:
    _Base = object


class WritesChangesOnly(_Base):
    """A mixin for models: an instance from a cache saves only what was changed on it.

    The cache may be older than the database. A view that saves ``request.user`` would otherwise
    write the cached values of all columns, and so reactivate an account that was deactivated in the
    meantime. ``_state.cached`` holds the values that came from the cache, by their attname.
    """

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
            # Django itself names all loaded fields if some are deferred.
            if update_fields is None or all(f.attname in update_fields for f in loaded):
                update_fields = [
                    f.attname
                    for f in loaded
                    if getattr(f, "auto_now", False)
                    or own[f.attname] != cached.get(f.attname, _NOTHING)
                ]
                if not update_fields:
                    return
        super().save_base(
            raw=raw,
            force_insert=force_insert,
            force_update=force_update,
            using=using,
            update_fields=frozenset(update_fields) if update_fields else None,
        )
        if cached is not None and update_fields:
            self._remember(update_fields)

    def _remember(self: Any, names: Collection[str]) -> None:
        """Treat the values of these fields as unchanged from now on."""
        stored = {
            f.attname: copy.deepcopy(self.__dict__[f.attname])
            for f in self._meta.concrete_fields
            if not {f.name, f.attname}.isdisjoint(names)
        }
        self._state.cached = {**(self._state.cached or {}), **stored}

    def refresh_from_db(
        self: Any, using: Any = None, fields: Any = None, from_queryset: Any = None
    ) -> None:
        """Treat what was read from the database again as unchanged."""
        super().refresh_from_db(using, fields, from_queryset)
        if getattr(self._state, "cached", None) is None:
            return
        if fields is None:
            self._state.cached = None
        else:
            self._remember(fields)


_NOTHING = object()


class _FromCache(WritesChangesOnly):
    """The mixin for models that don't extend it themselves: the project's users."""

    def __setattr__(self, name: str, value: Any) -> None:
        # Setting an attribute counts as a change, even to the cached value.
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
    """Return ``model``, or a subclass of it that isn't registered with Django."""
    if issubclass(model, WritesChangesOnly):
        return model
    names = {
        "__module__": model.__module__,
        "__qualname__": model.__qualname__,
        # For the senders of signals, among others, the class is the model.
        "__class__": property(lambda _self: model),
    }
    # The metaclass would register a model.
    return type.__new__(type(model), model.__name__, (_FromCache, model), names)


def mark_as_cached(instance: Any) -> Any:
    """Have ``instance``, whose values came from a cache, save only what is changed on it."""
    names = {field.attname for field in instance._meta.concrete_fields} & instance.__dict__.keys()
    instance._state.cached = {name: copy.deepcopy(instance.__dict__[name]) for name in names}
    model: Any = type(instance)
    cls = _class_from_cache(model)
    if cls is not model:
        instance.__class__ = cls
    return instance


def has_default_constructor(model: type[Model]) -> bool:
    """Whether Django alone creates the instances of ``model``, and no signal reports it."""
    django: Any = Model
    from_db: Any = model.from_db
    return (
        from_db.__func__ is django.from_db.__func__
        and model.__init__ is django.__init__
        and model.__new__ is object.__new__
        and model.__setattr__ is object.__setattr__
        and not pre_init.has_listeners(model)
        and not post_init.has_listeners(model)
    )


def has_plain_columns(model: type[Model]) -> bool:
    """Whether, in addition, all columns of ``model`` are attributes that just hold a value."""
    columns = [inspect.getattr_static(model, f.attname) for f in model._meta.concrete_fields]
    kinds = {type(column) for column in columns}
    return has_default_constructor(model) and kinds <= {
        DeferredAttribute,
        ForeignKeyDeferredAttribute,
    }


def instance_factory(model: Any) -> Callable[[str, Sequence[str], Values], Any]:
    """Return ``model.from_db``, or an equivalent that takes a quarter of the time.

    ``Model.__init__`` sets the attributes one by one and sends signals. If the model's columns are
    plain, the instance's dictionary can be filled at once, as when Django unpickles an instance.
    """
    if not has_plain_columns(model):
        from_db: Callable[[str, Sequence[str], Values], Any] = model.from_db
        return from_db

    def make(alias: str, names: Sequence[str], values: Values) -> Any:
        return _filled(model, alias, zip(names, values, strict=True))

    return make


def cached_instance_factory(
    model: Any, alias: str, names: Sequence[str], values: Values
) -> Callable[[], Any]:
    """Return a function that creates instances from cached values, each with its own copies.

    Args:
        model: the model.
        alias: the database that the values come from.
        names: the names of the attributes.
        values: the values of the attributes. Changes to the instances don't affect them.
    """
    if not has_plain_columns(model):
        return lambda: mark_as_cached(model.from_db(alias, names, copy.deepcopy(values)))
    cls = _class_from_cache(model)
    attributes = dict(zip(names, values, strict=True))
    mutable = [name for name, value in attributes.items() if type(value) not in _IMMUTABLE]

    def make() -> Any:
        instance = _filled(cls, alias, attributes)
        instance._state.cached = attributes
        own = instance.__dict__
        for name in mutable:
            value = own[name]
            # Most are empty lists, and copying one deeply takes longer than all the rest.
            own[name] = [] if value == [] else copy.deepcopy(value)
        return instance

    return make


def _filled(model: Any, alias: str, attributes: Any) -> Any:
    """Return an instance that is stored in the database ``alias``."""
    instance = model.__new__(model)
    state = ModelState()
    state.adding = False
    state.db = alias
    instance.__dict__.update(attributes, _state=state)
    return instance
