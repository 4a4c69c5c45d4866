"""Decides which OAuth 2 applications may run as their user.

A token for client credentials has no user of its own, so its requests run as the application's
user. That field alone proves nothing, because the server's pages and commands can set it to any
user. It counts only after someone who may generate API keys for that user has allowed it.

An application is any model instance with a ``user``: no OAuth 2 server is imported here.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import router
from django.db.models.signals import ModelSignal, post_save
from django.utils import timezone
from django.utils.translation import gettext as _

from ..models import ApiKey, OAuthApplicationUser
from .actors import Actor, check_reach, check_target
from .announcements import record_history


def is_application_allowed(application: Any) -> bool:
    """Whether tokens for client credentials may run as the current user of ``application``."""
    if application.user_id is None:
        return False
    # Not from a replica, which may not know yet that this was withdrawn.
    records = OAuthApplicationUser.objects.using(router.db_for_write(OAuthApplicationUser))
    allowed = records.filter(application_pk=str(application.pk), user_id=application.user_id)
    return bool(allowed.exists())


def allow_application(application: Any, *, by: Actor | None = None) -> None:
    """Let tokens for client credentials run as the user of ``application``, until that changes.

    Args:
        application: an application of django-oauth-toolkit, saved.
        by: who allows it. None is trusted code.

    Raises:
        PermissionDenied: ``by`` may not generate API keys without policies for the user.
        ValidationError: the application has no user, or an inactive one.
    """
    user = application.user
    if user is None:
        raise ValidationError(_("The application has no user."), code="no_user")
    check_target(user, by)
    check_reach(ApiKey(), by)  # an application is like a key without policies
    OAuthApplicationUser.objects.update_or_create(
        application_pk=str(application.pk),
        defaults={
            "user": user,
            "allowed_by": by.user if by is not None else None,
            "allowed_at": timezone.now(),
        },
    )
    record_history(by, [(application, f"Allowed to run as {user.get_username()}.")])


def withdraw_application(instance: Any, signal: ModelSignal, **_: Any) -> None:
    """Handle ``post_delete``, and ``post_save`` if the application has another user, or none.

    Otherwise it would be allowed again as soon as the field is set back.
    """
    records = OAuthApplicationUser.objects.filter(application_pk=str(instance.pk))
    if signal is post_save:
        records = records.exclude(user_id=instance.user_id)
    records.delete()
