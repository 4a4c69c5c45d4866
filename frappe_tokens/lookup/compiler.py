"""Compiles the lookup of a key and its user with Django's own compiler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet
from django.db.models.manager import BaseManager

from ..base_models import AbstractApiKey, ApiKeyQuerySet
from ..db import has_plain_columns
from ..types import User

# Neither the decision nor most views need these, and each column costs time in the database, the
# driver and Python. All columns of the user are loaded.
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

# The values of a row, as Django's converters return them.
Columns = list[Any]


class CompiledLookup(NamedTuple):
    """The statement and its columns.

    Attributes:
        sql: has ``%s`` for its one parameter, the API key, and no other percent sign.
        key_names: the key's attributes, in the order of the columns. The user's columns follow.
        user_names: the user's attributes.
        user_model: the user model.
        set_user: sets a key's user.
        set_key: sets a user's key, if the relation has one.
        converters: the position of a column, the functions that convert its values, the column.
    """

    sql: str
    key_names: list[str]
    user_names: list[str]
    user_model: type[User]
    set_user: Callable[[AbstractApiKey, User | None], None]
    set_key: Callable[[User, AbstractApiKey], None]
    converters: list[tuple[int, Sequence[Callable[..., object]], object]]


def compile_lookup(model: type[AbstractApiKey], connection: BaseDatabaseWrapper) -> CompiledLookup:
    """Compile the lookup.

    Args:
        model: a source of keys.
        connection: referenced by the converters: one that no thread uses.

    Raises:
        ValueError: the model's own queryset would do something else; the message says why.
    """
    manager = model._default_manager
    if type(manager).get_queryset is not BaseManager.get_queryset:
        raise ValueError("its manager overrides get_queryset()")
    if manager._queryset_class not in (QuerySet, ApiKeyQuerySet):
        raise ValueError("its manager has its own queryset class")
    fields = model._meta.concrete_fields
    # A model with its own constructor or attributes may need all columns.
    deferred = {f.name for f in fields} & _DEFERRED if has_plain_columns(model) else set()
    keys = manager.using(connection.alias).select_related("user").defer(*deferred).order_by()
    # The value only serves to recognize the parameter. It's never executed.
    compiler: Any = keys.filter(api_key=__name__).query.get_compiler(connection=connection)
    sql, parameters = compiler.as_sql()
    if tuple(parameters) != (__name__,):
        raise ValueError("its statement has parameters other than the key")
    if sql.count("%") != 1:
        raise ValueError("the name of a column contains a percent sign")
    columns = [column for column, _, _ in compiler.select]
    key, (user,) = compiler.klass_info, compiler.klass_info["related_klass_infos"]
    key_names = [f.attname for f in fields if f.name not in deferred]
    user_names = [f.attname for f in user["model"]._meta.concrete_fields]
    positions = [*key["select_fields"], *user["select_fields"]]
    if positions != list(range(len(columns))) or [*key_names, *user_names] != [
        column.target.attname for column in columns
    ]:
        raise ValueError("its statement does not bring the columns of both models in order")
    return CompiledLookup(
        sql,
        key_names,
        user_names,
        user["model"],
        user["local_setter"],
        user["remote_setter"],
        [
            (n, functions, column)
            for n, (functions, column) in compiler.get_converters(columns).items()
        ],
    )
