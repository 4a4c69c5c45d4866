"""Compares what users may do, to decide who may manage whose API keys."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from django.apps import apps
from django.contrib import auth
from django.contrib.auth import get_permission_codename, get_user_model
from django.contrib.auth.models import AnonymousUser, Permission, PermissionsMixin
from django.db.models import Model, QuerySet

from ..db import in_batches
from ..types import User
from .requests import extends, path_of

# Models of these packages, and those that extend them, such as a project's own users, sources and
# OAuth applications, hold users, their rights or their credentials.
_PACKAGES = (
    "django.contrib.auth.",
    "django.contrib.contenttypes.",
    "django.contrib.sessions.",
    "frappe_tokens.",
    "oauth2_provider.",
    "rest_framework.authtoken.",
)

OWN_PERMISSION = "frappe_tokens.manage_own_keys"

_GUARDIAN = "guardian.backends.ObjectPermissionBackend"


def exceed(user: User | AnonymousUser, asker: User) -> bool:
    """Whether managing the keys of ``user`` would give ``asker`` rights that they don't have.

    Only users who are staff, or could change what others may do, are compared with the asker, who
    isn't a superuser. The keys of all others open an API, but no way to more rights.
    """
    if user == asker:
        return False
    if getattr(user, "is_superuser", False):
        return True
    permissions = _permissions_of(user)
    if permissions is None:
        return True
    # The asker manages these keys anyway.
    permissions.discard(OWN_PERMISSION)
    is_staff = getattr(user, "is_staff", False)
    if is_staff and not asker.is_staff:
        return True  # some views check nothing else
    if not is_staff and not any(map(_leads_to_others, permissions)):
        return False
    return not all(map(asker.has_perm, permissions))


def load_permissions(users: Iterable[User | None]) -> None:
    """Read the permissions of many users for :func:`exceed`, with three queries per batch.

    With backends other than Django's, :func:`exceed` reads them user by user.
    """
    if is_djangos_own():
        ordinary = (user for user in users if not (user is None or user.is_superuser))
        for batch in in_batches(ordinary):
            if len(batch) > 1:
                _load(batch)


def _load(users: list[User]) -> None:
    alias = users[0]._state.db
    stored = get_user_model()._base_manager.using(alias).filter(pk__in={user.pk for user in users})
    groups_of: defaultdict[object, set[object]] = defaultdict(set)
    for pk, group in stored.order_by().filter(groups__isnull=False).values_list("pk", "groups"):
        groups_of[pk].add(group)
    group_model: Any = stored.model._meta.get_field("groups").related_model
    groups = group_model._base_manager.using(alias).filter(pk__in=set().union(*groups_of.values()))
    of_groups = _permissions_in(groups, "permissions")
    of_users = _permissions_in(stored, "user_permissions")
    for user in users:
        group_permissions = (of_groups[group] for group in groups_of[user.pk])
        # The caches of ModelBackend.
        vars(user)["_user_perm_cache"] = of_users[user.pk]
        vars(user)["_group_perm_cache"] = set[str]().union(*group_permissions)


def _permissions_in(rows: QuerySet[Any], relation: str) -> defaultdict[object, set[str]]:
    """Return the permissions that ``rows`` have by ``relation``, by primary key."""
    names: defaultdict[object, set[str]] = defaultdict(set)
    for pk, app_label, codename in (
        rows.order_by()
        .filter(**{f"{relation}__isnull": False})
        .values_list("pk", f"{relation}__content_type__app_label", f"{relation}__codename")
    ):
        names[pk].add(f"{app_label}.{codename}")
    return names


def _permissions_of(user: User | AnonymousUser) -> set[str] | None:
    """Return the permissions that ``user`` has, or would have if active; None if unknown."""
    if not user.is_active:
        # A key generated now would get all rights as soon as the user is activated.
        user = copy.copy(user)
        try:
            user.is_active = True
        except AttributeError:  # a property in the project's user model
            return None
        if not is_djangos_own():
            # Cached permissions of an inactive user may be empty.
            for cached in ("_perm_cache", "_user_perm_cache", "_group_perm_cache"):
                vars(user).pop(cached, None)
    # A copy: a project's user model may keep what it returns.
    can_list = hasattr(user, "get_all_permissions")
    permissions = set(user.get_all_permissions()) if can_list else set[str]()
    if not is_djangos_own():
        # Some backends can check permissions, but not list them.
        permissions.update(filter(user.has_perm, _sensitive_permissions() - permissions))
    return permissions


def is_djangos_own() -> bool:
    """Whether only Django's own backend and user model grant permissions for all objects."""
    from django.contrib.auth.backends import ModelBackend  # needs the user model

    model = get_user_model()
    methods = ("get_all_permissions", "has_perm")
    return all(
        type(backend) is ModelBackend or path_of(type(backend)) == _GUARDIAN
        for backend in auth.get_backends()
    ) and all(getattr(model, name, None) is getattr(PermissionsMixin, name) for name in methods)


def is_guardians(backend: object) -> bool:
    """Whether ``backend`` is django-guardian's, which grants permissions for single objects."""
    return extends(backend, _GUARDIAN)


def _leads_to_others(permission: str) -> bool:
    """Whether ``permission`` is sensitive, or may be because no model declares it."""
    is_known = permission in _ordinary_permissions()
    return _app_of(permission) in _sensitive_apps() and not is_known


def _app_of(permission: str) -> str:
    return permission.partition(".")[0]  # the rest may have dots, too


@cache
def _sensitive_permissions() -> frozenset[str]:
    return frozenset(
        name for model in apps.get_models() if _is_sensitive(model) for name in _declared(model)
    )


@cache
def _sensitive_apps() -> frozenset[str]:
    return frozenset(map(_app_of, _sensitive_permissions()))


@cache
def _ordinary_permissions() -> frozenset[str]:
    declared = (name for model in apps.get_models() for name in _declared(model))
    return frozenset(declared) - _sensitive_permissions()


def _is_sensitive(model: type[Model]) -> bool:
    """Whether ``model`` holds users, their rights or their credentials."""
    user_model = get_user_model()
    fields = (*model._meta.fields, *model._meta.many_to_many)
    return (
        issubclass(model, user_model)
        or issubclass(user_model, model)
        or any(f"{base.__module__}.".startswith(_PACKAGES) for base in model.__mro__)
        # For example, a project's own roles, or permissions for single objects.
        or any(field.related_model is Permission for field in fields)
    )


def _declared(model: type[Model]) -> Iterator[str]:
    opts = model._meta
    for action in opts.default_permissions:
        yield f"{opts.app_label}.{get_permission_codename(action, opts)}"
    for codename, _name in opts.permissions:
        yield f"{opts.app_label}.{codename}"
