"""Creates model instances fast. Those from a cache save only what was changed."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Collection
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.apps import apps
from django.db import router
from django.db.models import Model
from django.db.models.base import ModelState
from django.db.models.fields.related_descriptors import ForeignKeyDeferredAttribute
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init, pre_init

_IMMUTABLE = frozenset(
    {bool, bytes, date, datetime, time, timedelta, Decimal, float, int, str, type(None), UUID}
)

# For the type checker: the mixin calls the methods of a model.
if TYPE_CHECKING:
    _Model = Model
else:
    _Model = object


class WritesChangesOnly(_Model):
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
                update_fields = frozenset(
                    f.attname
                    for f in loaded
                    if getattr(f, "auto_now", False)
                    or f.attname not in cached
                    or own[f.attname] != cached[f.attname]
                )
                if not update_fields:
                    return
        super().save_base(
            raw=raw,
            force_insert=force_insert,
            force_update=force_update,
            using=using,
            update_fields=update_fields,
        )
        if cached is not None and update_fields:
            self._remember(update_fields)

    def _remember(self: Any, names: Collection[str]) -> None:
        """Treat the values of these fields as unchanged from now on."""
        own, known = self.__dict__, getattr(self._state, "cached", None) or {}
        stored = {
            f.attname: copy.deepcopy(own[f.attname])
            for f in self._meta.concrete_fields
            if f.attname in own and not {f.name, f.attname}.isdisjoint(names)
        }
        self._state.cached = {**known, **stored}

    def refresh_from_db(
        self: Any, using: Any = None, fields: Any = None, from_queryset: Any = None
    ) -> None:
        """Treat the values that were read again as unchanged.

        Django also loads deferred columns by this. A replica may not have the row yet.
        """
        if using is None and from_queryset is None:
            using = router.db_for_write(self.__class__, instance=self)
        super().refresh_from_db(using, fields, from_queryset)
        if getattr(self._state, "cached", None) is None:
            return
        if fields is None:
            self._state.cached = None
        else:
            self._remember(fields)


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
        # The sender of signals, for example, is the model.
        "__class__": property(lambda _self: model),
    }
    # The metaclass would register a model.
    return type.__new__(type(model), model.__name__, (_FromCache, model), names)


class InstanceFactory:
    """Creates instances of a model from the values of their columns, which are in Django's order.

    ``Model.__init__`` sets the attributes one by one and sends signals. If the model's columns are
    plain, the instance's dictionary can be filled at once, as when Django unpickles an instance.
    That takes a quarter of the time.

    Attributes:
        has_default_constructor: whether creating an instance runs no code of the project.
        is_plain: whether, in addition, all columns are attributes that just hold a value.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.has_default_constructor: bool = (
            model.from_db.__func__ is vars(Model)["from_db"].__func__
            and model.__init__ is Model.__init__
            and model.__new__ is object.__new__
            and model.__setattr__ is object.__setattr__
            and not pre_init.has_listeners(model)
            and not post_init.has_listeners(model)
        )
        columns = (inspect.getattr_static(model, f.attname) for f in model._meta.concrete_fields)
        plain = {DeferredAttribute, ForeignKeyDeferredAttribute}
        self.is_plain = self.has_default_constructor and set(map(type, columns)) <= plain

    def create(self, alias: str, attributes: dict[str, Any]) -> Any:
        """Return an instance that is stored in the database ``alias``."""
        if self.is_plain:
            return _filled(self._model, alias, attributes)
        return self._model.from_db(alias, list(attributes), list(attributes.values()))

    def from_cache(self, alias: str, attributes: dict[str, Any]) -> Callable[[], Any]:
        """Return a function that creates instances from cached ``attributes``.

        Changes to the instances don't affect the attributes. They save only what was changed.
        """
        cls = _class_from_cache(self._model)
        mutable = [name for name, value in attributes.items() if type(value) not in _IMMUTABLE]

        def create() -> Any:
            if not self.is_plain:
                instance = self.create(alias, copy.deepcopy(attributes))
                found: Any = type(instance)
                instance.__class__ = _class_from_cache(found)
                instance._remember(instance.__dict__)
                return instance
            instance = _filled(cls, alias, attributes)
            instance._state.cached = attributes
            own = instance.__dict__
            for name in mutable:
                # Most are empty lists, and copying one deeply takes longer than all the rest.
                own[name] = [] if own[name] == [] else copy.deepcopy(own[name])
            return instance

        return create


def _filled(model: Any, alias: str, attributes: dict[str, Any]) -> Any:
    instance = model.__new__(model)
    state = ModelState()
    state.adding = False
    state.db = alias
    instance.__dict__.update(attributes, _state=state)
    return instance
