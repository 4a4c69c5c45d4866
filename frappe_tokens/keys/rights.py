"""What a user may do, as far as it decides who may manage that user's API keys."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

from django.apps import apps
from django.contrib import auth
from django.contrib.auth import get_permission_codename, get_user_model
from django.contrib.auth.models import Permission, PermissionsMixin

from ..db import in_batches

# Users whose permissions are read with one statement.
BATCH_SIZE = 500

# Models that are defined here, or extend one that is, hold users, what they may do, or what they
# sign in with: the classes of a project's own users, sources and OAuth applications included.
_PACKAGES = (
    "django.contrib.auth.",
    "django.contrib.contenttypes.",
    "django.contrib.sessions.",
    "frappe_tokens.",
    "oauth2_provider.",
    "rest_framework.authtoken.",
)


class _Permissions(NamedTuple):
    """The permissions of all installed models, by whether they lead to other users' rights.

    Attributes:
        sensitive: those that do.
        apps: the labels of the apps that these belong to.
        ordinary: those that don't.
    """

    sensitive: frozenset[str]
    apps: frozenset[str]
    ordinary: frozenset[str]

    def leads_to_others(self, permission: str) -> bool:
        """Whether ``permission`` is sensitive, or may be: no model declares it."""
        app_label = permission.partition(".")[0]
        return permission in self.sensitive or (
            app_label in self.apps and permission not in self.ordinary
        )


def exceed(user: Any, asker: Any) -> bool:
    """Whether managing the keys of ``user`` would give ``asker`` rights that they don't have.

    Only users who are staff, or could change what others may do, are compared with the asker: a
    key of any other opens an API, and no way to more.

    Args:
        user: whose keys.
        asker: not a superuser.
    """
    if user == asker:
        return False
    if getattr(user, "is_superuser", False):
        return True
    permissions = _permissions_of(user)
    if permissions is None:
        return True
    staff = getattr(user, "is_staff", False)
    if not staff and not any(map(_installed().leads_to_others, permissions)):
        return False
    if staff and not getattr(asker, "is_staff", False):
        # There are views that ask for nothing else.
        return True
    return not all(map(asker.has_perm, permissions))


def load_permissions(users: Iterable[Any]) -> None:
    """Read the permissions of many users, a batch with three queries, for :func:`exceed` to use.

    Where Django's own backend is not the only one, each user's are read when they are asked for.
    """
    if _is_djangos_own():
        asked = (user for user in users if not (user is None or user.is_superuser))
        for batch in in_batches(asked, BATCH_SIZE):
            if len(batch) > 1:
                _load(batch)


def _load(users: list[Any]) -> None:
    alias = users[0]._state.db
    stored = get_user_model()._base_manager.using(alias).filter(pk__in={user.pk for user in users})
    groups_of: defaultdict[Any, set[Any]] = defaultdict(set)
    members = stored.order_by().filter(groups__isnull=False)
    for pk, group in members.values_list("pk", "groups"):
        groups_of[pk].add(group)
    group_model: Any = stored.model._meta.get_field("groups").related_model
    groups = group_model._base_manager.using(alias).filter(pk__in=set().union(*groups_of.values()))
    of_groups = _permissions_in(groups, "permissions")
    of_users = _permissions_in(stored, "user_permissions")
    for user in users:
        # Where ModelBackend remembers what it has read.
        user._user_perm_cache = of_users[user.pk]
        user._group_perm_cache = set().union(*(of_groups[group] for group in groups_of[user.pk]))


def _permissions_in(rows: Any, relation: str) -> defaultdict[Any, set[str]]:
    """The names of the permissions that ``rows`` have by ``relation``, by their primary keys."""
    names: defaultdict[Any, set[str]] = defaultdict(set)
    for pk, app_label, codename in (
        rows.order_by()
        .filter(**{f"{relation}__isnull": False})
        .values_list("pk", f"{relation}__content_type__app_label", f"{relation}__codename")
    ):
        names[pk].add(f"{app_label}.{codename}")
    return names


def _permissions_of(user: Any) -> set[str] | None:
    """What ``user`` may do, or could if they were active; None if nobody can tell."""
    if not user.is_active:
        # A key that is prepared now would have all rights at once when the user is activated.
        user = copy.copy(user)
        try:
            user.is_active = True
        except AttributeError:  # a property of the project's own
            return None
        if not _is_djangos_own():
            # It may have remembered that an inactive user has none.
            for remembered in ("_perm_cache", "_user_perm_cache", "_group_perm_cache"):
                vars(user).pop(remembered, None)
    permissions: set[str] = set()
    if hasattr(user, "get_all_permissions"):
        permissions |= user.get_all_permissions()
    if not _is_djangos_own():
        # Some backends answer for a permission, and list none.
        permissions.update(filter(user.has_perm, _installed().sensitive - permissions))
    return permissions


def _is_djangos_own() -> bool:
    """Whether permissions are Django's own, which its own backend alone grants."""
    from django.contrib.auth.backends import ModelBackend  # needs the user model

    model: Any = get_user_model()
    methods = ("get_all_permissions", "has_perm")
    return all(type(backend) is ModelBackend for backend in auth.get_backends()) and all(
        getattr(model, name, None) is getattr(PermissionsMixin, name) for name in methods
    )


def _installed() -> _Permissions:
    return _permissions_for(get_user_model())


@cache
def _permissions_for(user_model: Any) -> _Permissions:
    sensitive: set[str] = set()
    ordinary: set[str] = set()
    for model in apps.get_models():
        declared = sensitive if _leads_to_others(model, user_model) else ordinary
        declared.update(_declared(model))
    labels = {permission.partition(".")[0] for permission in sensitive}
    return _Permissions(frozenset(sensitive), frozenset(labels), frozenset(ordinary - sensitive))


def _leads_to_others(model: Any, user_model: Any) -> bool:
    """Whether rows of ``model`` say who users are, what they may do, or what they sign in with."""
    fields = (*model._meta.fields, *model._meta.many_to_many)
    return (
        issubclass(model, user_model)
        or issubclass(user_model, model)
        or any(f"{base.__module__}.".startswith(_PACKAGES) for base in model.__mro__)
        # Such as a project's own roles, and permissions for one object.
        or any(field.related_model is Permission for field in fields)
    )


def _declared(model: Any) -> Iterator[str]:
    opts = model._meta
    for action in opts.default_permissions:
        yield f"{opts.app_label}.{get_permission_codename(action, opts)}"
    for codename, _name in opts.permissions:
        yield f"{opts.app_label}.{codename}"
