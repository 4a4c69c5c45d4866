"""Ends cache entries when keys or their users are saved, updated or deleted."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import router, transaction
from django.db.models import Model
from django.db.models.signals import ModelSignal, post_delete, post_save, pre_delete, pre_save

from ..base_models import AbstractApiKey
from ..conf import conf
from ..signals import keys_updated
from .cache import invalidate


def connect() -> None:
    """Connect to the signals before and after changes, but only of models that matter.

    Receivers slow down a model's deletions. Outside a transaction, a change is committed before the
    signal after it.
    """
    keys_updated.connect(_keys_updated)
    user_model = get_user_model()
    for model in apps.get_models():
        if issubclass(model, AbstractApiKey):
            receiver, signals = _key_changed, [pre_save, post_save, pre_delete, post_delete]
        # A user may be saved as an instance of a parent model or of a child model.
        elif issubclass(model, user_model) or issubclass(user_model, model):
            # Not after a deletion, when their keys are unknown.
            receiver, signals = _user_changed, [pre_save, post_save, pre_delete]
        else:
            continue
        for signal in signals:
            signal.connect(receiver, sender=model)


def _is_new(instance: Model, signal: ModelSignal, created: bool = False, **_: object) -> bool:
    return created or (signal is pre_save and instance._state.adding)


def _key_changed(instance: AbstractApiKey, using: str, **sent: Any) -> None:
    if _is_new(instance, **sent):
        return
    api_key = instance.__dict__.get("api_key")
    # Not getattr(): if it's deferred, and the row was deleted, it can't be loaded.
    invalidate(instance.cache_label(), None if api_key is None else [api_key], using)


def _keys_updated(sender: type[AbstractApiKey], using: str, **_: object) -> None:
    invalidate(sender.cache_label(), None, using)


def _user_changed(instance: Model, using: str, **sent: Any) -> None:
    if conf.CACHE is None or _is_new(instance, **sent):
        return
    user_model = get_user_model()
    # A child of the user model may have its own primary key.
    owner = user_model if isinstance(instance, user_model) else instance
    filters = {f"user__{owner._meta.pk.attname}": getattr(instance, owner._meta.pk.attname)}

    def invalidate_keys() -> None:
        for model in {apps.get_model(source) for source in conf.SOURCES.values()}:
            keys = model._base_manager.using(router.db_for_write(model)).filter(**filters)
            invalidate(model.cache_label(), keys.values_list("api_key", flat=True), using)

    invalidate_keys()
    if transaction.get_connection(using).in_atomic_block:
        # For keys that were made in the meantime, when the change wasn't visible yet.
        transaction.on_commit(invalidate_keys, using=using, robust=True)
