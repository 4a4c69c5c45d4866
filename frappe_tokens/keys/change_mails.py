"""Mails users when somebody else has generated, rotated, disabled, enabled or revoked their key."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from django.db import router, transaction

from ..base_models import AbstractApiKey
from ..conf import conf
from .actors import Actor
from .mail import send

logger = logging.getLogger("frappe_tokens.notices")

# What a request can send without taking long.
MOST_MAILS = 20


def mail_changes(
    event: str,
    changes: Sequence[tuple[AbstractApiKey, bool]],
    by: Actor | None,
    *,
    reason: str = "",
    total: int = 1,
) -> None:
    """Mail the users of keys after the commit, if ``NOTIFY_CHANGES`` says so.

    Failures are logged. More than ``MOST_MAILS`` at once are not sent, which is logged too.

    Args:
        event: the name of the signal.
        changes: the keys, of one model, each with whether it was rotated.
        by: who did it. Users need no mail about what they did themselves.
        reason: why, in words.
        total: how many keys are changed in all, if these are some of many.
    """
    if not conf.NOTIFY_CHANGES:
        return
    actor = by.user if by is not None else None
    notified = [(key, rotated) for key, rotated in changes if _is_notified(key, actor)]

    def send_all() -> None:
        if max(total, len(notified)) > MOST_MAILS:
            logger.warning(
                "No mail is sent about %s, because the keys of more than %d users changed at once.",
                event,
                MOST_MAILS,
            )
            return
        for key, rotated in notified:
            context = {"event": event, "key": key, "rotated": rotated, "by": actor}
            try:
                send(key.user, "key_changed", {**context, "reason": reason})
            except Exception:
                logger.exception("The user of API key %s could not be notified.", key.api_key)

    if notified:
        alias = router.db_for_write(type(notified[0][0]))
        transaction.on_commit(send_all, using=alias, robust=True)


def _is_notified(key: AbstractApiKey, actor: object) -> bool:
    return key.user is not None and key.user.is_active and key.user != actor
