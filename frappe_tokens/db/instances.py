"""Creates model instances fast, and has those from a cache overwrite nothing newer."""

from __future__ import annotations

import copy
import datetime
import decimal
import inspect
import uuid
from collections.abc import Callable, Collection, Sequence
from typing import Any

from django.db import router
from django.db.models import Model
from django.db.models.base import ModelState
from django.db.models.fields.related_descriptors import ForeignKeyDeferredAttribute
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init, pre_init

Values = Sequence[Any]

_NOTHING = object()
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


def refresh_unchanged(
    instance: Any, *, using: str, update_fields: Collection[str] | None, raw: bool, **_: object
) -> None:
    """Before an instance from a cache is saved, read again what was not changed on it.

    A receiver of ``pre_save``. The cache may be older than the database. A view that saves
    ``request.user`` would otherwise write the cached values of all columns, and so reactivate an
    account that was deactivated in the meantime. ``_state.cached`` holds the values that came from
    the cache, by their attname.
    """
    cached, own = getattr(instance._state, "cached", None), instance.__dict__
    pk: str = instance._meta.pk.attname
    home = instance._state.db, router.db_for_write(instance.__class__, instance=instance)
    if cached is None or raw or using not in home or cached[pk] != own[pk]:
        return
    unchanged = [name for name, value in cached.items() if own.get(name, _NOTHING) == value]
    if update_fields is None:
        unchanged += instance.get_deferred_fields()
    # Django itself names all loaded fields if some are deferred.
    elif not update_fields >= {f.attname for f in instance._meta.concrete_fields} & own.keys() - {
        pk
    }:
        return
    instance.refresh_from_db(using, unchanged)
    instance._state.cached = {**cached, **{name: copy.deepcopy(own[name]) for name in unchanged}}


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
    plain = {DeferredAttribute, ForeignKeyDeferredAttribute}
    return has_default_constructor(model) and {type(column) for column in columns} <= plain


def instance_factory(model: Any) -> Callable[[str, Sequence[str], Values], Any]:
    """Return ``model.from_db``, or an equivalent that takes a quarter of the time.

    ``Model.__init__`` sets the attributes one by one and sends signals. If the model's columns are
    plain, the instance's dictionary can be filled at once, as when Django unpickles an instance.
    """
    if not has_plain_columns(model):
        from_db: Callable[[str, Sequence[str], Values], Any] = model.from_db
        return from_db
    return lambda alias, names, values: _filled(model, alias, zip(names, values, strict=True))


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
    attributes = dict(zip(names, values, strict=True))
    mutable = [name for name, value in attributes.items() if type(value) not in _IMMUTABLE]
    is_plain = has_plain_columns(model)

    def make() -> Any:
        if not is_plain:
            instance = model.from_db(alias, names, copy.deepcopy(values))
            instance._state.cached = attributes
            return instance
        instance = _filled(model, alias, attributes)
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
