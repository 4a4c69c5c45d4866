"""Mails to the users of keys, from templates that a project may override."""

from __future__ import annotations

from collections.abc import Mapping

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils import timezone, translation

from ..conf import conf
from ..types import User


def send(user: User, name: str, context: Mapping[str, object]) -> bool:
    """Mail ``user``. A subject that renders to nothing switches the mail off.

    Args:
        user: who gets it. It is ``user`` in the templates.
        name: of the templates ``frappe_tokens/mail/<name>_subject.txt``, ``<name>.txt`` and
            ``<name>.html``.
        context: what else the templates show. Never a secret.

    Returns:
        Whether it was sent. It isn't if the user has no address.

    Raises:
        Exception: of the templates or of the project's ``EMAIL_BACKEND``.
    """
    address = address_of(user)
    if not address:
        return False
    template = f"frappe_tokens/mail/{name}"
    # Not in the language and time zone of the request: someone else sent it.
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


def address_of(user: User) -> str:
    """Return the email address of ``user``; "" if there is none."""
    return getattr(user, type(user).get_email_field_name(), "") or ""


def _account_url() -> str:
    """Return the address of the users' own page; "" without ``SITE_URL``, or without the page."""
    try:
        path = reverse("frappe_tokens_account:keys")
    except NoReverseMatch:
        return ""
    # Without a request there is no host to take, and a request's could be forged.
    return conf.SITE_URL and f"{conf.SITE_URL}{path}"
