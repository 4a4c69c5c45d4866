"""Lets users be deleted while keys are generated for them.

Django reads what is deleted with a user before its transaction begins. Keys that are generated
until the user is locked would be left over, and the database would refuse to delete the user.
"""

from __future__ import annotations

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import models, router
from django.db.models.signals import pre_delete

from ..base_models import AbstractApiKey
from ..models import ApiKey
from ..types import User
from .locking import lock_for_deletion, locking_read

# The keys that Django deletes: an attribute of the instance or queryset that is deleted.
_FOUND = "_frappe_tokens_found"


def connect() -> None:
    """Connect to deletions, before receivers that query: on SQLite, locking comes first."""
    user_model = get_user_model()._meta.concrete_model
    for model in apps.get_models():
        if issubclass(model, AbstractApiKey):
            pre_delete.connect(_key_found, sender=model)
        elif model._meta.concrete_model is user_model:
            pre_delete.connect(_lock_user, sender=model)


def _key_found(instance: AbstractApiKey, origin: object = None, **_: object) -> None:
    # Django announces keys before their users.
    if origin is not None:
        origin.__dict__.setdefault(_FOUND, set()).add((instance.cache_label(), instance.pk))


def _lock_user(instance: User, using: str, origin: object = None, **_: object) -> None:
    """Lock the user first, as all calls do, and delete the keys that Django hasn't found."""
    if using != router.db_for_write(ApiKey):
        return
    lock_for_deletion(instance, using)
    found: set[tuple[str, object]] = getattr(origin, _FOUND, set())
    for model in apps.get_models():
        if not issubclass(model, AbstractApiKey) or model._meta.proxy:
            continue
        user = model._meta.get_field("user")
        on_delete = getattr(user.remote_field, "on_delete", None)
        if user.model is not model or on_delete is not models.CASCADE:
            continue
        for key in locking_read(model._base_manager.using(using).filter(user=instance.pk)):
            if (key.cache_label(), key.pk) not in found:
                key.delete()
