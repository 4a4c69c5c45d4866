"""Finds users, and locks them and their keys, so that parallel calls wait for each other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import connections, router, transaction
from django.db.models import Manager, QuerySet
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from ..base_models import AbstractApiKey
from ..db import in_batches
from ..models import ApiKey
from ..types import User
from .actors import Actor

_View = TypeVar("_View", bound=Callable[..., HttpResponseBase])
_Key = TypeVar("_Key", bound=AbstractApiKey)

# Users per statement: older SQLite allows 999 parameters.
LOCK_SIZE = 500


def outside_atomic_requests(view: _View) -> _View:
    """Exempt ``view`` from ``ATOMIC_REQUESTS`` on all databases.

    Generating keys needs its own transaction, which locks before its first read.
    """
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


def find_user(username: str) -> User | None:
    """Return the user with this username, which may be any text; None if there is none."""
    users = get_user_model()
    try:
        # Drivers raise their own errors for these: PostgreSQL for NULs, all for lone surrogates.
        username.encode()
        if "\0" in username:
            return None
        # A replica may not have a new user yet.
        manager = users._default_manager.db_manager(router.db_for_write(users))
        user: User = manager.get_by_natural_key(username)
        return user
    except (users.DoesNotExist, users.MultipleObjectsReturned):
        return None
    except (TypeError, ValueError, ValidationError):  # usernames may be numbers or UUIDs
        return None


def lock_users(pks: Iterable[object], by: Actor | None = None) -> dict[object, User]:
    """Lock users as :func:`locked_users` does, and return them by primary key."""
    return {user.pk: user for user in locked_users(pks, by)}


def lock_targets(pks: Iterable[object], by: Actor | None) -> list[User]:
    """Lock the users of ``pks``, and return them in that order, as stored now."""
    pks = list(pks)
    locked = lock_users(pks, by)
    try:
        return [locked[pk] for pk in pks]
    except KeyError:
        raise ValidationError(_("This user no longer exists."), code="no_user") from None


def locked_users(pks: Iterable[object], by: Actor | None = None) -> Iterator[User]:
    """Lock users whose keys are about to be written, until the end of the transaction.

    Call it first in a transaction. To avoid deadlocks, users are always locked before keys, and in
    the order of their primary keys.

    Yields:
        The users that exist, as stored now, in order. Reading them locks them.
    """
    alias = router.db_for_write(ApiKey)
    features = connections[alias].features
    wanted = set(pks)
    is_mysql = features.has_select_for_update and not features.has_select_for_no_key_update
    if is_mysql and by is not None:
        # On MySQL and MariaDB, writing a row that refers to a user waits for that user's lock.
        wanted.add(getattr(by.user, "pk", None))  # an anonymous one is refused later
    users = _lockable(get_user_model()._base_manager, alias)
    for batch in _in_order(wanted - {None}, features.has_select_for_update):
        yield from users.filter(pk__in=batch)


def lock_active_users() -> list[Any]:
    """Lock all active users, and return their primary keys, in order."""
    users = _lockable(get_user_model()._default_manager, router.db_for_write(ApiKey))
    # A user model may have the attribute without the column.
    if any(field.name == "is_active" for field in users.model._meta.fields):
        users = users.filter(is_active=True)
    return list(users.values_list("pk", flat=True))


def lock_for_deletion(user: User, alias: str) -> None:
    """Lock a user who is being deleted, and with them, what refers to them."""
    users = _lockable(type(user)._base_manager, alias, is_deletion=True)
    list(users.filter(pk=user.pk).values_list("pk"))


def _lockable(users: Manager[Any], alias: str, *, is_deletion: bool = False) -> QuerySet[Any]:
    """Return the users in order, so that reading them locks them. SQLite is locked at once."""
    features = connections[alias].features
    ordered: QuerySet[Any] = users.using(alias).order_by("pk")
    if features.has_select_for_update:
        # Not the primary key: inserting a row that refers to the user must not wait.
        no_key = features.has_select_for_no_key_update and not is_deletion
        ordered = ordered.select_for_update(no_key=no_key)
    else:
        # SQLite locks the database at the first write, which fails if another transaction has
        # written since this one first read.
        ApiKey._base_manager.filter(pk=0).update(name="")
    return ordered


def _in_order(pks: Collection[Any], rows_are_locked: bool) -> Iterator[list[Any]]:
    if all(isinstance(pk, int) for pk in pks):
        return in_batches(sorted(pks), LOCK_SIZE)
    # Databases and Python order strings and UUIDs differently. A single statement uses the
    # database's order.
    return in_batches(pks, len(pks) if rows_are_locked else LOCK_SIZE)


def find_visible_user(username: str, by: Actor) -> Any:
    """Return the user with this username; None if ``by`` may not know whether they exist."""
    if username == str(by.user.get_username()):
        return by.user
    user = find_user(username) if by.may_generate or by.may_lead else None
    return user if user is not None and by.has_permission_for(user) else None


@contextmanager
def locked_key(key: _Key, by: Actor | None) -> Iterator[_Key]:
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


def refresh(key: AbstractApiKey, alias: str | None) -> None:
    """Reload ``key`` from the database ``alias``, unless it was deleted meanwhile."""
    with suppress(type(key).DoesNotExist):
        key.refresh_from_db(using=alias)


def lock_rows(model: type[_Key], keys: Iterable[_Key], by: Actor | None) -> dict[object, _Key]:
    """Lock the users of ``keys``, then the keys, which are all of ``model``.

    Call it within :func:`transaction_for`.

    Returns:
        The keys that exist, as stored now with their users, by primary key.
    """
    keys = list(keys)
    users = lock_users([key.user_id for key in keys], by)
    rows: dict[object, _Key] = {}
    for batch in in_batches([key.pk for key in keys], LOCK_SIZE):
        stored = model._base_manager.filter(pk__in=batch).order_by("pk")
        for row in locking_read(stored):
            if row.user_id in users:
                # The locked one, because a plain read may be older.
                row.user = users[row.user_id]
            rows[row.pk] = row
    return rows


def locking_read(rows: QuerySet[_Key]) -> QuerySet[_Key]:
    """Return ``rows`` so that reading them locks them, and returns them as stored now.

    The transaction's snapshot may be older than the lock of the user. A locking read isn't.
    """
    locking: QuerySet[_Key] = rows.select_for_update()  # as any other read on SQLite
    return locking


def unrevoked_keys(users: Iterable[User], name: str) -> dict[object, ApiKey]:
    """Return the keys with this name, as stored now, by the primary keys of their users."""
    pks = [user.pk for user in users]
    keys = ApiKey.objects.stored().filter(user__in=pks, name=name, live=True)
    return {key.user_id: key for key in locking_read(keys.order_by())}


@contextmanager
def transaction_for(alias: str) -> Iterator[None]:
    """Begin a transaction on the database of a source's keys and on that of the users."""
    with transaction.atomic(using=router.db_for_write(ApiKey)), transaction.atomic(using=alias):
        yield
