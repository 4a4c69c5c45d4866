"""What ends a key's entry in the cache: the saving or deleting of the key, or of its user."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import router, transaction
from django.db.models.signals import post_delete, post_save, pre_delete

from . import key_cache
from .base_models import AbstractApiKey
from .conf import conf


def connect() -> None:
    """Listen to the models that matter, and to no other: a listener slows a model's deletions."""
    user_model = get_user_model()
    for model in apps.get_models():
        if issubclass(model, AbstractApiKey):
            post_save.connect(_key_changed, sender=model)
            post_delete.connect(_key_changed, sender=model)
        # A user may be saved as what its model extends, or as what extends it.
        elif issubclass(model, user_model) or issubclass(user_model, model):
            post_save.connect(_user_changed, sender=model)
            # Before, because afterwards nobody knows whose the keys were.
            pre_delete.connect(_user_changed, sender=model)


def _key_changed(instance: AbstractApiKey, using: str, **_: Any) -> None:
    key_cache.end(instance.cache_label(), [instance.api_key], using)


def _user_changed(instance: Any, using: str, **_: Any) -> None:
    if conf.CACHE is None:
        return

    def end() -> None:
        for label in set(conf.SOURCES.values()):
            model = apps.get_model(label)
            keys = model._base_manager.using(router.db_for_write(model))
            theirs = keys.filter(user__pk=instance.pk).values_list("api_key", flat=True)
            key_cache.end(model.cache_label(), theirs, using)

    end()
    if transaction.get_connection(using).in_atomic_block:
        # Also for keys that were made since, when the change was not to be seen yet.
        transaction.on_commit(end, using=using, robust=True)
