"""Users whose keys someone may manage by a permission for single users, such as a team lead.

Django's own backend grants none. Others check one user at a time, by ``has_perm()`` with the user
as its object. Lists need a queryset, which django-guardian's backend has. Another backend can
define ``users_whose_keys_may_be_managed(user)``, which returns one. Without it, lists don't contain
the keys of other users.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.contrib import auth
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet, Value

from ..db import in_batches
from ..types import User
from . import rights

PERMISSION = "frappe_tokens.generate_keys"

# django-guardian only knows permissions of the object's model, which is the user model.
_CODENAME = "generate_keys"
_METHOD = "users_whose_keys_may_be_managed"

# Users per statement, which has a SELECT with about 20 parameters for each.
BATCH_SIZE = 25


def are_possible() -> bool:
    """Whether a backend, or the project's user model, may grant permissions for single users."""
    return not rights.is_djangos_own() or any(map(rights.is_guardians, auth.get_backends()))


class Known(NamedTuple):
    """What :func:`read` found out about a user.

    Attributes:
        is_named: django-guardian names them.
        exceeds: they lead a user that the asker doesn't lead.
    """

    is_named: bool
    exceeds: bool


def leads(user: Any, target: User | AnonymousUser, known: Known | None = None) -> bool:
    """Whether ``user`` has the permission to generate keys for ``target``."""
    backends = auth.get_backends()
    others: list[Any] = [backend for backend in backends if not rights.is_guardians(backend)]
    if len(others) == len(backends):
        return bool(user.has_perm(PERMISSION, target))
    try:
        # As has_perm() of the user does, except that django-guardian's backend raises an error for
        # a permission of another app than the object's.
        for backend in others:
            if hasattr(backend, "has_perm") and backend.has_perm(user, PERMISSION, target):
                return True
    except PermissionDenied:
        return False
    if known is not None:
        return known.is_named
    return bool(_by_guardian(user).filter(pk=target.pk).exists())


def read(asker: User, targets: Iterable[User]) -> dict[object, Known]:
    """Read about many users, with two queries for each ``BATCH_SIZE``, by primary key."""
    uses_guardian = any(map(rights.is_guardians, auth.get_backends()))
    known: dict[object, Known] = {}
    for batch in in_batches(targets, BATCH_SIZE):
        pks = [target.pk for target in batch]
        named: set[object] = set()
        if uses_guardian:
            found = _by_guardian(asker).filter(pk__in=pks).values_list("pk")
            named.update(pk for (pk,) in found)
        first, *others = (
            _led_by_alone(target, asker).order_by().values_list(Value(number))
            for number, target in enumerate(batch)
        )
        exceeding = {batch[number] for (number,) in first.union(*others)} - {asker}
        for target in batch:
            known[target.pk] = Known(target.pk in named, target in exceeding)
    return known


def led_by(user: User | AnonymousUser) -> QuerySet[Any]:
    """Return the users whose keys lists show to ``user``, as the backends name them."""
    named = Q(pk__in=())
    for backend in auth.get_backends():
        if rights.is_guardians(backend):
            named |= Q(pk__in=_by_guardian(user).values("pk"))
        elif hasattr(backend, _METHOD):
            named |= Q(pk__in=getattr(backend, _METHOD)(user).values("pk"))
    users: QuerySet[Any] = get_user_model()._base_manager.filter(named)
    return users


def leads_anyone(user: Any) -> bool:
    """Whether the backends name anyone. Cached on ``user``, as Django caches permissions."""
    if not hasattr(user, "_frappe_tokens_leads"):
        user._frappe_tokens_leads = led_by(user).exists()
    return bool(user._frappe_tokens_leads)


def exceed(user: User | AnonymousUser, asker: User, known: Known | None = None) -> bool:
    """Whether ``user`` leads a user that ``asker``, a team lead, doesn't lead."""
    if known is not None:
        return known.exceeds
    return user != asker and _led_by_alone(user, asker).exists()


def _led_by_alone(user: User | AnonymousUser, asker: User) -> QuerySet[Any]:
    alone: QuerySet[Any] = led_by(user).exclude(pk__in=led_by(asker).values("pk"))
    return alone


def _by_guardian(user: User | AnonymousUser) -> QuerySet[Any]:
    from guardian.shortcuts import get_objects_for_user  # needs its models

    users: QuerySet[Any] = get_objects_for_user(
        user,
        _CODENAME,
        get_user_model()._base_manager.all(),
        with_superuser=False,
        accept_global_perms=False,
    )
    return users
