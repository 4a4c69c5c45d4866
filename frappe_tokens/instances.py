"""From values to a model's instance."""

from __future__ import annotations

import copy
import datetime
import decimal
import inspect
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

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
    """Makes the same instance of :func:`maker_of` over and over, each one with values of its own.

    Args:
        model: of the instances.
        alias: the database that they are from.
        names: of the attributes.
        values: of the attributes; they stay as they are, whatever becomes of the instances.
    """
    if not is_plain(model):
        return lambda: model.from_db(alias, names, copy.deepcopy(values))
    attributes = dict(zip(names, values, strict=True))
    mutable = [name for name, value in attributes.items() if type(value) not in _IMMUTABLE]

    def make() -> Any:
        instance = _filled(model, alias, attributes)
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
    instance._state = state = ModelState()
    state.adding = alias is None
    state.db = alias
    instance.__dict__.update(attributes)
    return instance
