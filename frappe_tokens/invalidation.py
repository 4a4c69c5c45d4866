"""What ends a key's entry in the cache: the saving or deleting of the key, or of its user."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import router, transaction
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save

from . import key_cache
from .base_models import AbstractApiKey
from .conf import conf


def connect() -> None:
    """Listen to the models that matter, and to no other: a listener slows a model's deletions.

    Before a change too: outside a transaction, it is committed by the time of the second signal.
    """
    user_model = get_user_model()
    for model in apps.get_models():
        if issubclass(model, AbstractApiKey):
            for signal in (pre_save, post_save, pre_delete, post_delete):
                signal.connect(_key_changes, sender=model)
        # A user may be saved as what its model extends, or as what extends it.
        elif issubclass(model, user_model) or issubclass(user_model, model):
            # Not after a deletion, when nobody knows whose the keys were.
            for signal in (pre_save, post_save, pre_delete):
                signal.connect(_user_changes, sender=model)


def _is_new(instance: Any, signal: Any, created: bool = False, **_: Any) -> bool:
    return created or (signal is pre_save and instance._state.adding)


def _key_changes(instance: AbstractApiKey, using: str, **sent: Any) -> None:
    if _is_new(instance, **sent):
        return
    api_key = instance.__dict__.get("api_key")
    # Where it is deferred and its row was deleted, nobody can load it any more.
    key_cache.invalidate(instance.cache_label(), None if api_key is None else [api_key], using)


def _user_changes(instance: Any, using: str, **sent: Any) -> None:
    if conf.CACHE is None or _is_new(instance, **sent):
        return
    user_model = get_user_model()
    # What extends the user model may have a primary key of its own.
    owner = user_model if isinstance(instance, user_model) else instance
    theirs = {f"user__{owner._meta.pk.attname}": getattr(instance, owner._meta.pk.attname)}

    def invalidate() -> None:
        for model in {apps.get_model(source) for source in conf.SOURCES.values()}:
            keys = model._base_manager.using(router.db_for_write(model)).filter(**theirs)
            key_cache.invalidate(model.cache_label(), keys.values_list("api_key", flat=True), using)

    invalidate()
    if transaction.get_connection(using).in_atomic_block:
        # Also for keys that were made since, when the change was not to be seen yet.
        transaction.on_commit(invalidate, using=using, robust=True)
