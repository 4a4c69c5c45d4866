"""Who is told of what was done to keys: the admin's history at once, signals after the commit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import router, transaction
from django.utils.translation import gettext as _

from .. import history
from ..actors import Actor
from ..base_models import AbstractApiKey
from ..signals import key_revoked, keys_generated


def announce_generated(generated: Iterable[tuple[AbstractApiKey, bool]], by: Actor | None) -> None:
    """Tell that keys have new secrets.

    Args:
        generated: each key, and whether it was there before.
        by: who asked.
    """
    generated = list(generated)
    text = _("Generated a secret for API key %(api_key)s.")
    history.note_many(
        by,
        (
            (changed, text % {"api_key": key.api_key})
            for key, _rotated in generated
            for changed in (key.user, key)
        ),
    )
    for key, rotated in generated if keys_generated.receivers else ():
        _send_after_commit(keys_generated, key, by, rotated=rotated)


def announce_revoked(key: AbstractApiKey, reason: str, by: Actor | None) -> None:
    """Tell that ``key`` was revoked."""
    text = _("Revoked API key %(api_key)s.") % {"api_key": key.api_key}
    users = [] if key.user is None else [key.user]
    history.note(by, text, *users, key)
    if key_revoked.receivers:
        _send_after_commit(key_revoked, key, by, reason=reason)


def _send_after_commit(
    signal: Any, key: AbstractApiKey, by: Actor | None, **arguments: Any
) -> None:
    model, user = type(key), by.user if by is not None else None

    def send() -> None:
        signal.send_robust(sender=model, instance=key, by=user, **arguments)

    transaction.on_commit(send, using=router.db_for_write(model), robust=True)
