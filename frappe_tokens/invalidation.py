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
    if conf.CACHE is None:
        return
    label = instance.cache_label()
    api_key = instance.__dict__.get("api_key")
    if api_key is None:
        # Deferred, and of a row that was deleted nobody can load it any more.
        key_cache.end_all(label, using)
    else:
        key_cache.end(label, [api_key], using)


def _user_changed(instance: Any, using: str, created: bool = False, **_: Any) -> None:
    if conf.CACHE is None or created:
        return
    user_model = get_user_model()
    if isinstance(instance, user_model):
        # What extends the user model may have a primary key of its own.
        name = user_model._meta.pk.attname
    else:
        name = instance._meta.pk.attname
    theirs = {f"user__{name}": getattr(instance, name)}

    def end() -> None:
        for source in set(conf.SOURCES.values()):
            model = apps.get_model(source)
            keys = model._base_manager.using(router.db_for_write(model)).filter(**theirs)
            label = model.cache_label()
            key_cache.end(label, keys.values_list("api_key", flat=True), using)

    end()
    if transaction.get_connection(using).in_atomic_block:
        # Also for keys that were made since, when the change was not to be seen yet.
        transaction.on_commit(end, using=using, robust=True)
