"""Reports what was done to keys.

The admin's history is written in the same transaction; the log, and receivers of the signals, get
it after the commit.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import router, transaction
from django.utils.translation import gettext as _

from .. import audit
from ..base_models import AbstractApiKey
from ..signals import key_revoked, keys_generated
from . import history
from .actors import Actor


def announce_generated(generated: Iterable[tuple[AbstractApiKey, bool]], by: Actor | None) -> None:
    """Report new secrets.

    Args:
        generated: each key, and whether it existed before.
        by: who did it.
    """
    generated = list(generated)
    if not generated:
        return
    text = _("Generated a secret for API key %(api_key)s.")
    history.record(
        by,
        (
            (changed, text % {"api_key": key.api_key})
            for key, _rotated in generated
            for changed in (key.user, key)
        ),
    )
    user = by.user if by is not None else None
    model = type(generated[0][0])

    def report() -> None:
        for key, rotated in generated:
            audit.generated(key, user, rotated)
            keys_generated.send_robust(sender=model, instance=key, by=user, rotated=rotated)

    if keys_generated.has_listeners(model) or audit.is_heard():
        transaction.on_commit(report, using=router.db_for_write(model), robust=True)


def announce_revoked(key: AbstractApiKey, reason: str, by: Actor | None) -> None:
    """Report that ``key`` was revoked."""
    text = _("Revoked API key %(api_key)s.") % {"api_key": key.api_key}
    history.record(by, [(key.user, text), (key, text)])
    user = by.user if by is not None else None
    model = type(key)

    def report() -> None:
        audit.revoked(key, user, reason)
        key_revoked.send_robust(sender=model, instance=key, by=user, reason=reason)

    if key_revoked.has_listeners(model) or audit.is_heard():
        transaction.on_commit(report, using=router.db_for_write(model), robust=True)
