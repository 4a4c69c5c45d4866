"""Revokes a key if a replaced secret is used after its grace period (``REVOKE_ON_REPLAY``)."""

from __future__ import annotations

import logging

from asgiref.local import Local
from django.core.signals import request_finished
from django.db import connections, router
from django.utils.translation import gettext as _

from ..base_models import AbstractApiKey
from ..logs import RateLimitedLogger
from ..signals import secret_replayed
from .locking import lock_rows, transaction_for
from .repeating import repeated
from .revocation import revoke

_log_error = RateLimitedLogger(
    logging.getLogger(__name__), "A replaced secret was used, but API key %s can't be revoked."
)

# The keys to revoke when the request of this thread or task has finished.
_local = Local()


def connect() -> None:
    secret_replayed.connect(_secret_replayed)
    request_finished.connect(_request_finished)


def _secret_replayed(sender: type[AbstractApiKey], instance: AbstractApiKey, **_: object) -> None:
    if connections[router.db_for_write(sender)].in_atomic_block:
        # With ATOMIC_REQUESTS, the refusal rolls the request's transaction back.
        _local.keys = [*getattr(_local, "keys", ()), instance]
    else:
        _revoke(instance)


def _request_finished(**_: object) -> None:
    if keys := getattr(_local, "keys", None):
        del _local.keys
        for key in keys:
            _revoke(key)


def _revoke(key: AbstractApiKey) -> None:
    """Revoke ``key``, unless its secrets have changed since it was looked up. Logs errors."""
    try:
        _revoke_unchanged(key)
    except Exception:
        # The request is refused anyway. After it, nothing else would handle the error.
        _log_error(key.api_key)


@repeated
def _revoke_unchanged(key: AbstractApiKey) -> None:
    model = type(key)
    with transaction_for(router.db_for_write(model)):
        stored = lock_rows(model, [key], None).get(key.pk)
        if stored is not None and stored.previous_digest == key.previous_digest:
            revoke(stored, reason=_("A replaced secret was used."))
