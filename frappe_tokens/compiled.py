"""What Django's own compiler makes of the lookup of a key and its user."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from django.db.models import QuerySet
from django.db.models.manager import BaseManager

from .base_models import AbstractApiKey, ApiKeyQuerySet
from .instances import is_plain

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


class CompiledSelect(NamedTuple):
    """The statement, and what its columns are.

    Attributes:
        sql: has one parameter, the API key, where ``%s`` stands, and no other percent sign.
        key_names: the key's attributes, in the order of the columns. The user's columns follow.
        user_names: the user's.
        user_model: the class of users.
        set_user: sets a key's user.
        set_key: sets a user's key, where the relation has that.
        converters: by position, the functions that a value goes through, and its column.
    """

    sql: str
    key_names: list[str]
    user_names: list[str]
    user_model: Any
    set_user: Callable[[Any, Any], None]
    set_key: Callable[[Any, Any], None]
    converters: list[tuple[int, Sequence[Callable[..., Any]], Any]]


def compile_select(model: type[AbstractApiKey], connection: Any) -> CompiledSelect:
    """Compile it.

    Args:
        model: a source of keys.
        connection: stays with the converters: one that no thread uses.

    Raises:
        ValueError: the statement would not do what the model's queryset does; the message says why.
    """
    manager = model._default_manager
    if type(manager).get_queryset is not BaseManager.get_queryset:
        raise ValueError("its manager changes what a queryset is")
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
    key, (user,) = compiler.klass_info, compiler.klass_info["related_klass_infos"]
    key_names = _names(model, columns, key["select_fields"], start=0, deferred=deferred)
    return CompiledSelect(
        sql,
        key_names,
        _names(user["model"], columns, user["select_fields"], start=len(key_names)),
        user["model"],
        user["local_setter"],
        user["remote_setter"],
        [
            (position, functions, column)
            for position, (functions, column) in compiler.get_converters(columns).items()
        ],
    )


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
