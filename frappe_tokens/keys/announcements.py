"""Reports what was done to keys.

The admin's history is written in the same transaction. The log, the receivers of signals and, with
``NOTIFY_CHANGES``, the keys' users are notified after the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from django.apps import apps
from django.db import router, transaction
from django.db.models import Model
from django.dispatch import Signal
from django.utils.translation import gettext_lazy as _

from .. import audit, signals
from ..base_models import AbstractApiKey
from ..conf import conf
from ..db import in_batches
from . import mail
from .actors import Actor
from .mail import Changes

_HISTORY = {
    "keys_generated": _("Generated a secret for API key %(api_key)s."),
    "key_revoked": _("Revoked API key %(api_key)s."),
    "key_disabled": _("Disabled API key %(api_key)s."),
    "key_enabled": _("Enabled API key %(api_key)s."),
}
# What keys_generated means if a secret replaced another one.
_ROTATED = _("Rotated the secret of API key %(api_key)s.")


def announce_generated(
    generated: Iterable[tuple[AbstractApiKey, bool]], by: Actor | None, total: int = 1
) -> None:
    """Report new secrets of keys, each with whether it replaced another. See :func:`announce`."""
    changes = [(key, {"rotated": rotated}) for key, rotated in generated]
    announce("keys_generated", changes, by, total=total)


def announce(
    event: str,
    changes: Changes,
    by: Actor | None,
    *,
    total: int = 1,
    is_emailed: bool = True,
) -> None:
    """Report what was done to keys.

    Args:
        event: the name of the signal.
        changes: the keys, of one model, each with the signal's further arguments.
        by: who did it. None is trusted code.
        total: how many keys are changed in all, if these are one batch of many.
        is_emailed: whether users get the usual email.
    """
    first, again = str(_HISTORY[event]), str(_ROTATED)
    notes = (
        (key, (again if details.get("rotated") else first) % {"api_key": key.api_key})
        for key, details in changes
    )
    record_history(by, ((changed, note) for key, note in notes for changed in (key.user, key)))
    user = by.user if by is not None else None
    model = type(changes[0][0])
    signal: Signal = getattr(signals, event)

    def report() -> None:
        for key, details in changes:
            audit.key_event(event, key, user, *details.values())
            signal.send_robust(sender=model, instance=key, by=user, **details)

    after_commit(signal, model, report)
    if is_emailed:
        mail.send_changes(event, changes, user, max(total, by.total if by is not None else 1))


def after_commit(signal: Signal, model: type[Model], report: Callable[[], None]) -> None:
    """Call ``report`` after the commit, if anyone gets the signal, the log or an email."""
    if signal.has_listeners(model) or audit.is_heard() or conf.NOTIFY_CHANGES:
        transaction.on_commit(report, using=router.db_for_write(model), robust=True)


def record_history(by: Actor | None, notes: Iterable[tuple[Model | None, str]]) -> None:
    """Write ``notes``, each with its object, to the admin's history. Notes about None are skipped.

    Those about keys are skipped, too, if ``by`` says so. The history needs a user, so it can't
    record trusted code.
    """
    if by is None or not apps.is_installed("django.contrib.admin"):
        return
    from django.contrib.admin.models import CHANGE, LogEntry
    from django.contrib.admin.options import get_content_type_for_model

    for batch in in_batches(notes):
        LogEntry.objects.bulk_create(
            LogEntry(
                user_id=by.user.pk,
                content_type_id=get_content_type_for_model(changed).pk,
                object_id=changed.pk,
                object_repr=str(changed)[:200],
                action_flag=CHANGE,
                change_message=text,
            )
            for changed, text in batch
            if changed is not None and (by.history or not isinstance(changed, AbstractApiKey))
        )
