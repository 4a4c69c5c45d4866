"""Who is told of what was done to keys.

The admin's history at once, in the same transaction; the log and the signals' receivers after the
commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from django.db import router, transaction
from django.utils.translation import gettext as _

from .. import audit
from ..base_models import AbstractApiKey
from ..signals import key_revoked, keys_generated
from . import history
from .actors import Actor


def announce_generated(generated: Iterable[tuple[AbstractApiKey, bool]], by: Actor | None) -> None:
    """Tell that keys have new secrets.

    Args:
        generated: each key, and whether it was there before.
        by: who asked.
    """
    generated = list(generated)
    text = _("Generated a secret for API key %(api_key)s.")
    history.record_many(
        by,
        (
            (changed, text % {"api_key": key.api_key})
            for key, _rotated in generated
            for changed in (key.user, key)
        ),
    )
    user = by.user if by is not None else None

    def tell() -> None:
        for key, rotated in generated:
            audit.generated(key, user, rotated)
            keys_generated.send_robust(sender=type(key), instance=key, by=user, rotated=rotated)

    if not generated:
        return
    model = type(generated[0][0])
    if keys_generated.has_listeners(model) or audit.is_heard():
        _after_commit(model, tell)


def announce_revoked(key: AbstractApiKey, reason: str, by: Actor | None) -> None:
    """Tell that ``key`` was revoked."""
    text = _("Revoked API key %(api_key)s.") % {"api_key": key.api_key}
    users = [] if key.user is None else [key.user]
    history.record(by, text, *users, key)
    user = by.user if by is not None else None

    def tell() -> None:
        audit.revoked(key, user, reason)
        key_revoked.send_robust(sender=type(key), instance=key, by=user, reason=reason)

    if key_revoked.has_listeners(type(key)) or audit.is_heard():
        _after_commit(type(key), tell)


def _after_commit(model: type[AbstractApiKey], tell: Callable[[], None]) -> None:
    transaction.on_commit(tell, using=router.db_for_write(model), robust=True)
