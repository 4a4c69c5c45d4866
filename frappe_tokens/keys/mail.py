"""Emails to the users of keys, from templates that a project may override."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import router, transaction
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils import timezone, translation

from ..base_models import AbstractApiKey
from ..conf import conf
from ..types import User

logger = logging.getLogger("frappe_tokens.notices")

# What a request can send without taking long.
MOST_EMAILS = 20

Changes: TypeAlias = "Sequence[tuple[AbstractApiKey, Mapping[str, object]]]"


def send(user: User, name: str, context: Mapping[str, object]) -> bool:
    """Email ``user``. A subject that renders to nothing switches the email off.

    Args:
        user: who gets it. It is ``user`` in the templates.
        name: of the templates ``frappe_tokens/mail/<name>_subject.txt``, ``<name>.txt`` and
            ``<name>.html``.
        context: the other variables of the templates. Never a secret.

    Returns:
        Whether it was sent. It isn't if the user has no email address.

    Raises:
        Exception: of the templates or of the project's email backend.
    """
    address = address_of(user)
    if not address:
        return False
    template = f"frappe_tokens/mail/{name}"
    # Not in the language and time zone of the request: another user sent it.
    with translation.override(settings.LANGUAGE_CODE), timezone.override(None):
        shown = {**context, "user": user, "account_url": _account_url()}
        subject = " ".join(render_to_string(f"{template}_subject.txt", shown).split())
        if not subject:
            return False
        message = EmailMultiAlternatives(
            subject,
            render_to_string(f"{template}.txt", shown),
            to=[address],
            headers={"Auto-Submitted": "auto-generated"},  # RFC 3834: no automatic replies
        )
        message.attach_alternative(render_to_string(f"{template}.html", shown), "text/html")
    return bool(message.send())


def send_changes(event: str, changes: Changes, by: User | None, total: int) -> None:
    """Email the users of changed keys after the commit, if ``NOTIFY_CHANGES`` is set.

    Users get no email about their own changes. If more than ``MOST_EMAILS`` keys change at once,
    none is sent, which is logged. See :func:`~frappe_tokens.keys.announcements.announce`.
    """
    if not conf.NOTIFY_CHANGES:
        return
    notified = [
        (key, details)
        for key, details in changes
        if key.user is not None and key.user.is_active and key.user != by
    ]

    def send_all() -> None:
        if max(total, len(notified)) > MOST_EMAILS:
            logger.warning(
                "No email is sent about %s, because more than %d keys changed at once.",
                event,
                MOST_EMAILS,
            )
            return
        for key, details in notified:
            context = {"event": event, "by": by, "rotated": False, "reason": "", **details}
            _send_about(key, "key_changed", context)

    if notified:
        alias = router.db_for_write(type(notified[0][0]))
        transaction.on_commit(send_all, using=alias, robust=True)


def send_leaked(key: AbstractApiKey, url: str) -> None:
    """After the commit, email the user of a key that leaked, at ``url`` if that's known."""
    if key.user is not None:
        transaction.on_commit(
            lambda: _send_about(key, "key_leaked", {"url": url}),
            using=router.db_for_write(type(key)),
            robust=True,
        )


def _send_about(key: AbstractApiKey, name: str, context: Mapping[str, object]) -> None:
    try:
        send(key.user, name, {**context, "key": key})
    except Exception:  # whatever the project's backend and templates raise
        logger.exception("The email about API key %s can't be sent.", key.api_key)


def address_of(user: User) -> str:
    """Return the email address of ``user``; "" if there is none."""
    return getattr(user, type(user).get_email_field_name(), "") or ""


def _account_url() -> str:
    """Return the address of the users' own page; "" without ``SITE_URL``, or without the page."""
    try:
        path = reverse("frappe_tokens_account:keys")
    except NoReverseMatch:
        return ""
    # The host of a request could be forged.
    return conf.SITE_URL and f"{conf.SITE_URL}{path}"
