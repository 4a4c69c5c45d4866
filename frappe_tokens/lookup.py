"""Finding the key that a request presents, and keeping note of its use."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import DatabaseError, InterfaceError, router, transaction
from django.db.models import Q

from . import crypto
from .base_models import AbstractApiKey
from .conf import conf

logger = logging.getLogger(__name__)


def source_model(source: str) -> type[AbstractApiKey] | None:
    """The model behind a name of ``FRAPPE_TOKENS["SOURCES"]``; None for every other name."""
    label = conf.SOURCES.get(source)
    return apps.get_model(label) if label is not None else None


def find(model: type[AbstractApiKey], api_key: str) -> AbstractApiKey | None:
    """The key and its user, in one SELECT; None where there is no such key.

    Raises:
        django.db.DatabaseError: if the database does not answer.
    """
    try:
        key = model._default_manager.select_related("user").get(api_key=api_key)
    except model.DoesNotExist:
        return None
    # A column whose collation was changed by hand may be found by a key in the wrong case.
    return key if key.api_key == api_key else None


def find_user(username: str) -> Any:
    """The user of this name; None where there is no such user, whatever the text holds."""
    users = get_user_model()
    try:
        # No user is called so, but drivers and encoders raise errors of their own about it:
        # PostgreSQL's about a NUL, all of them about half a surrogate pair.
        username.encode()
        if "\0" in username:
            return None
        return users._default_manager.get_by_natural_key(username)
    except (UnicodeEncodeError, users.DoesNotExist, users.MultipleObjectsReturned):
        return None


def record_use(key: AbstractApiKey, *, now: datetime, address: str, secret: str, slot: str) -> None:
    """Write down that ``key`` was used, where that is due, and renew an outdated digest.

    One UPDATE at the most, and none within ``LAST_USED_INTERVAL`` of the last. It never fails the
    request: what cannot be written is reported through ``logging``.

    Args:
        key: the key that was used.
        now: when.
        address: from where, "" if unknown.
        secret: the secret that was verified.
        slot: the name of the field whose digest it matched.
    """
    digest = getattr(key, slot)
    used = ["last_used_at"] if slot == "secret_digest" else ["last_used_at", "previous_used_at"]
    due = now - conf.LAST_USED_INTERVAL
    # Each condition is asked again in the UPDATE. Of many processes that find it due, one writes,
    # and a secret that is being replaced at this moment stays replaced.
    still_so = Q(pk=key.pk)
    changes: dict[str, Any] = {}
    for name in used:
        if getattr(key, name) is None or getattr(key, name) <= due:
            changes[name] = now
            still_so &= Q(**{f"{name}__isnull": True}) | Q(**{f"{name}__lte": due})
    if "last_used_at" in changes:
        changes["last_used_ip"] = address or None
    if not crypto.is_current(digest):
        changes[slot] = crypto.make_digest(secret)
        still_so &= Q(**{slot: digest})
    if not changes:
        return
    model = type(key)
    alias = router.db_for_write(model)

    def write() -> None:
        try:
            model._default_manager.using(alias).filter(still_so).update(**changes)
        except (DatabaseError, InterfaceError):
            logger.exception("The use of API key %s could not be written down.", key.api_key)
        else:
            for name, value in changes.items():
                setattr(key, name, value)

    # Where the request runs in a transaction, after its end: the row would stay locked till then.
    transaction.on_commit(write, using=alias, robust=True)
