"""Which OAuth 2 applications may run as their user.

A token of client credentials stands for no user of its own, so its requests run as the user of the
application that it was issued to. That field alone proves nothing: the server's own pages and
commands set it to any user. So it counts only once someone who may make API keys of that user has
allowed it.

This module imports no OAuth 2 server: it takes whatever has a primary key and a ``user``.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _

from ..models import ApiKey, OAuthApplicationUser
from . import history
from .actors import Actor, check_reach, check_target


def is_application_allowed(application: Any) -> bool:
    """Whether tokens of client credentials may run as the user that ``application`` has now."""
    records = OAuthApplicationUser.objects.filter(
        application_pk=str(application.pk), user_id=application.user_id
    )
    return application.user_id is not None and records.exists()


def allow_application(application: Any, *, by: Actor | None = None) -> None:
    """Let tokens of client credentials run as the user of ``application``.

    It holds for this application and this user: after the user has changed, allow it again.

    Args:
        application: django-oauth-toolkit's, saved.
        by: who allows it; None for trusted code.

    Raises:
        PermissionDenied: this actor may not make API keys of the user without any policies.
        ValidationError: the application has no user, or an inactive one.
    """
    user = application.user
    if user is None:
        raise ValidationError(_("The application has no user."), code="no_user")
    check_target(user, by)
    check_reach(ApiKey(), by)  # an application is like a key that nothing narrows
    OAuthApplicationUser.objects.update_or_create(
        application_pk=str(application.pk),
        defaults={
            "user": user,
            "allowed_by": by.user if by is not None else None,
            "allowed_at": timezone.now(),
        },
    )
    history.record(by, f"Allowed to run as {user.get_username()}.", application)


def withdraw_changed_application(instance: Any, **_: Any) -> None:
    """Handle ``post_save``: an application that has another user, or none, is no longer allowed.

    Otherwise it would be allowed again as soon as the field is set back.
    """
    records = OAuthApplicationUser.objects.filter(application_pk=str(instance.pk))
    records.exclude(user_id=instance.user_id).delete()


def withdraw_application(instance: Any, **_: Any) -> None:
    """Handle ``post_delete``."""
    OAuthApplicationUser.objects.filter(application_pk=str(instance.pk)).delete()
