"""Reports what was done to keys.

The admin's history is written in the same transaction; the log, receivers of the signals, and with
``NOTIFY_CHANGES`` the keys' users, get it after the commit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from django.apps import apps
from django.db import router, transaction
from django.db.models import Model
from django.dispatch import Signal
from django.utils.translation import gettext as _

from .. import audit, signals
from ..base_models import AbstractApiKey
from ..conf import conf
from ..db import in_batches
from ..signals import keys_generated
from . import mail
from .actors import Actor
from .change_mails import mail_changes

_logger = logging.getLogger("frappe_tokens.notices")


def announce_generated(
    generated: list[tuple[AbstractApiKey, bool]], by: Actor | None, total: int = 1
) -> None:
    """Report new secrets of keys of one model, each with whether it existed before.

    ``total`` is their number in all, if these are one batch of many.
    """
    text = _("Generated a secret for API key %(api_key)s.")
    notes = ((key, text % {"api_key": key.api_key}) for key, _rotated in generated)
    record_history(by, ((changed, note) for key, note in notes for changed in (key.user, key)))
    user = by.user if by is not None else None
    model = type(generated[0][0])

    def report() -> None:
        for key, rotated in generated:
            audit.key_event("keys_generated", key, user, rotated)
            keys_generated.send_robust(sender=model, instance=key, by=user, rotated=rotated)

    after_commit(keys_generated, model, report)
    mail_changes("keys_generated", generated, by, total=total)


def announce_revoked(
    key: AbstractApiKey, reason: str, by: Actor | None, *, leaked: bool = False
) -> None:
    """Report that ``key`` was revoked. If it leaked, its user gets another mail than usual."""
    _announce(key, "key_revoked", _("Revoked API key %(api_key)s."), by, reason=reason)
    if not leaked:
        mail_changes("key_revoked", [(key, False)], by, reason=reason)


def announce_leaked(key: AbstractApiKey, url: str) -> None:
    """Mail the user of a key that was revoked because it leaked, after the commit.

    Args:
        key: the key.
        url: where its secret was found, "" if unknown.
    """
    user = key.user

    def notify() -> None:
        try:
            mail.send(user, "key_leaked", {"key": key, "url": url})
        except Exception:  # whatever the project's backend and templates raise
            _logger.exception("The mail about the leaked API key %s can't be sent.", key.api_key)

    if user is not None:
        transaction.on_commit(notify, using=router.db_for_write(type(key)))


def announce_disabled(key: AbstractApiKey, by: Actor | None) -> None:
    """Report that ``key`` was disabled."""
    _announce(key, "key_disabled", _("Disabled API key %(api_key)s."), by)
    mail_changes("key_disabled", [(key, False)], by)


def announce_enabled(key: AbstractApiKey, by: Actor | None) -> None:
    """Report that ``key`` was enabled."""
    _announce(key, "key_enabled", _("Enabled API key %(api_key)s."), by)
    mail_changes("key_enabled", [(key, False)], by)


def _announce(key: AbstractApiKey, event: str, text: str, by: Actor | None, **details: str) -> None:
    signal: Signal = getattr(signals, event)
    text = text % {"api_key": key.api_key}
    record_history(by, [(key.user, text), (key, text)])
    user = by.user if by is not None else None

    def report() -> None:
        audit.key_event(event, key, user, *details.values())
        signal.send_robust(sender=type(key), instance=key, by=user, **details)

    after_commit(signal, type(key), report)


def after_commit(signal: Signal, model: type[Model], report: Callable[[], None]) -> None:
    """Call ``report`` after the commit, if anyone receives the signal, a mail, or the log."""
    if signal.has_listeners(model) or audit.is_heard() or conf.NOTIFY_CHANGES:
        transaction.on_commit(report, using=router.db_for_write(model), robust=True)


def record_history(by: Actor | None, notes: Iterable[tuple[Model | None, str]]) -> None:
    """Write what ``by`` did to the admin's history. It has no record of trusted code.

    Args:
        by: who did it.
        notes: the object and the text of each entry. Entries about None are left out.
    """
    if by is None or not by.history or not apps.is_installed("django.contrib.admin"):
        return
    from django.contrib.admin.models import CHANGE, LogEntry
    from django.contrib.admin.options import get_content_type_for_model

    history = LogEntry.objects.using(router.db_for_write(LogEntry))
    for batch in in_batches(notes):
        history.bulk_create(
            LogEntry(
                user_id=by.user.pk,
                content_type_id=get_content_type_for_model(changed).pk,
                object_id=changed.pk,
                object_repr=str(changed)[:200],
                action_flag=CHANGE,
                change_message=text,
            )
            for changed, text in batch
            if changed is not None
        )
