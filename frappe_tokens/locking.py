"""Queueing up: what keeps parallel calls for the same users from disturbing each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from django.contrib.auth import get_user_model
from django.db import connections, router, transaction

from .actors import Actor
from .batches import in_batches
from .models import ApiKey

_View = TypeVar("_View", bound=Callable[..., Any])

# Users a statement: older SQLite takes no more than 999 parameters.
LOCK_SIZE = 500


def outside_atomic_requests(view: _View) -> _View:
    """Keep ``ATOMIC_REQUESTS`` off ``view``, on all databases.

    What generates keys has a transaction of its own, which takes its locks in its own order, and
    before its first read.
    """
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


def lock_users(pks: Iterable[Any], by: Actor | None = None) -> dict[Any, Any]:
    """Queue up behind everyone who generates for any of these users.

    Call it first in a transaction that generates for several users, or writes keys otherwise.
    Users are locked before keys and in the order of their primary keys, always: that is what keeps
    parallel calls from waiting for each other in a circle.

    Args:
        pks: the primary keys of the users.
        by: who asks.

    Returns:
        Those that exist, as stored now, by primary key.
    """
    alias = router.db_for_write(ApiKey)
    features = connections[alias].features
    wanted = set(pks) - {None}
    if not features.has_select_for_update:
        _lock_database(alias)
    elif by is not None and not features.has_select_for_no_key_update:
        # On MySQL and MariaDB, writing a row that refers to a user waits for that user's lock.
        wanted |= {getattr(by.user, "pk", None)} - {None}  # nobody: refused further on
    locked: dict[Any, Any] = {}
    for some in _in_order(wanted, features.has_select_for_update):
        users = get_user_model()._base_manager.using(alias).filter(pk__in=some).order_by("pk")
        locked |= {user.pk: user for user in _for_update(users, alias)}
    return locked


def lock_active_users() -> list[Any]:
    """The same for every user who is active, which only a locking read can tell for sure.

    Returns:
        Their primary keys, in order.
    """
    alias = router.db_for_write(ApiKey)
    if not connections[alias].features.has_select_for_update:
        _lock_database(alias)
    users = get_user_model()._default_manager.using(alias).order_by("pk")
    # A user model without the column has the attribute alone.
    if any(field.name == "is_active" for field in users.model._meta.fields):
        users = users.filter(is_active=True)
    return list(_for_update(users, alias).values_list("pk", flat=True))


def _lock_database(alias: str) -> None:
    # SQLite locks the database at the first write. A read before it would have to be upgraded,
    # and fails at once where another has written meanwhile.
    ApiKey._base_manager.using(alias).filter(pk=0).update(name="")


def _for_update(users: Any, alias: str) -> Any:
    features = connections[alias].features
    if not features.has_select_for_update:
        return users
    # Without the key: inserting a row that refers to the user must not wait for us.
    return users.select_for_update(no_key=features.has_select_for_no_key_update)


def _in_order(pks: set[Any], rows_are_locked: bool) -> Iterator[list[Any]]:
    if all(isinstance(pk, int) for pk in pks):
        return in_batches(sorted(pks), LOCK_SIZE)
    # Texts and UUIDs have another order here than there. Where rows are locked, and where a
    # statement may be long, one for all of them keeps theirs.
    return in_batches(pks, len(pks) if rows_are_locked else LOCK_SIZE)
