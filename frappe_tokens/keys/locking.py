"""Locks that keep parallel calls for the same users apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import connections, router, transaction
from django.utils.translation import gettext as _

from ..db import in_batches
from ..models import ApiKey
from .actors import Actor

_View = TypeVar("_View", bound=Callable[..., Any])

# Users per statement: older SQLite allows 999 parameters.
LOCK_SIZE = 500


def outside_atomic_requests(view: _View) -> _View:
    """Exempt ``view`` from ``ATOMIC_REQUESTS`` on all databases.

    Generating keys needs its own transaction, which takes its locks in its own order and before
    its first read.
    """
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


def lock_users(pks: Iterable[Any], by: Actor | None = None) -> dict[Any, Any]:
    """Lock users whose keys are about to be written, until the end of the transaction.

    Call it first in a transaction that generates for several users or writes keys in another way.
    Users are always locked before keys and in the order of their primary keys, which keeps parallel
    calls from deadlocks.

    Args:
        pks: the primary keys of the users.
        by: who does it.

    Returns:
        The users that exist, as stored now, by primary key.
    """
    alias = router.db_for_write(ApiKey)
    features = connections[alias].features
    wanted = set(pks) - {None}
    if not features.has_select_for_update:
        _lock_database(alias)
    elif by is not None and not features.has_select_for_no_key_update:
        # On MySQL and MariaDB, writing a row that refers to a user waits for that user's lock.
        wanted |= {getattr(by.user, "pk", None)} - {None}  # an anonymous one is refused later
    locked: dict[Any, Any] = {}
    for batch in _in_order(wanted, features.has_select_for_update):
        users = get_user_model()._base_manager.using(alias).filter(pk__in=batch).order_by("pk")
        locked |= {user.pk: user for user in _for_update(users, alias)}
    return locked


def lock_active_users() -> list[Any]:
    """Lock all active users. Only a locking read knows for sure who is active.

    Returns:
        Their primary keys, in order.
    """
    alias = router.db_for_write(ApiKey)
    if not connections[alias].features.has_select_for_update:
        _lock_database(alias)
    users = get_user_model()._default_manager.using(alias).order_by("pk")
    # A user model may have the attribute without the column.
    if any(field.name == "is_active" for field in users.model._meta.fields):
        users = users.filter(is_active=True)
    return list(_for_update(users, alias).values_list("pk", flat=True))


def _lock_database(alias: str) -> None:
    # SQLite locks the database at the first write. A transaction that has read before fails at
    # once if another one has written in the meantime.
    ApiKey._base_manager.using(alias).filter(pk=0).update(name="")


def _for_update(users: Any, alias: str) -> Any:
    features = connections[alias].features
    if not features.has_select_for_update:
        return users
    # Not the primary key: inserting a row that refers to the user must not wait.
    return users.select_for_update(no_key=features.has_select_for_no_key_update)


def _in_order(pks: set[Any], rows_are_locked: bool) -> Iterator[list[Any]]:
    if all(isinstance(pk, int) for pk in pks):
        return in_batches(sorted(pks), LOCK_SIZE)
    # Databases order strings and UUIDs in another way than Python. If rows are locked, a single
    # statement keeps the database's order.
    return in_batches(pks, len(pks) if rows_are_locked else LOCK_SIZE)


@contextmanager
def locked_key(key: Any, by: Actor | None) -> Iterator[Any]:
    """Lock the row of ``key``, and yield it as stored now.

    Raises:
        ValidationError: it was deleted or revoked.
    """
    with transaction_for(router.db_for_write(type(key))):
        stored = lock_rows(type(key), [key], by).get(key.pk)
        if stored is None:
            raise ValidationError(_("This API key no longer exists."), code="no_key")
        if stored.is_revoked:
            raise ValidationError(
                _("This API key was revoked, which is final. Generate a new key."),
                code="key_revoked",
            )
        yield stored


def lock_rows(model: Any, keys: Iterable[Any], by: Actor | None) -> dict[Any, Any]:
    """Lock the users of ``keys`` and then the rows of the keys, which are all of ``model``.

    Call it within :func:`transaction_for`, which releases them at its end.

    Returns:
        The keys that exist, as stored now with their users, by primary key.
    """
    keys = list(keys)
    alias = router.db_for_write(model)
    users = lock_users([key.user_id for key in keys], by)
    rows: dict[Any, Any] = {}
    for batch in in_batches([key.pk for key in keys], LOCK_SIZE):
        stored = model._base_manager.using(alias).filter(pk__in=batch).order_by("pk")
        if connections[alias].features.has_select_for_update:
            stored = stored.select_for_update()
        for row in stored:
            if row.user_id in users:
                # The locked one, because a plain read may return an older state.
                row.user = users[row.user_id]
            rows[row.pk] = row
    return rows


@contextmanager
def transaction_for(alias: str) -> Iterator[None]:
    """Begin a transaction on the database of a source's keys and on the one of the users."""
    with transaction.atomic(using=router.db_for_write(ApiKey)), transaction.atomic(using=alias):
        yield
