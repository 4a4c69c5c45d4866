"""Decides who may change an application in the admin, and how."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import router
from django.utils.translation import gettext as _
from oauth2_provider.models import AbstractApplication as Application

from frappe_tokens.keys import Actor, check_reach, check_target
from frappe_tokens.models import ApiKey
from frappe_tokens.types import User


def is_superuser(by: Actor) -> bool:
    """Whether ``by`` is a superuser whose credential allows as much as an application's tokens."""
    superuser = bool(getattr(by.user, "is_superuser", False))
    return superuser and by.may_generate and not by.exceeded_by(ApiKey())


def may_change(application: Application, by: Actor) -> bool:
    """Whether ``by`` may change an application as it is stored.

    A new secret or redirect URI works like a key of the application's user. An application that
    skips authorization gets a code from every visitor.
    """
    if application.skip_authorization and not is_superuser(by):
        return False
    return application.user is None or (
        by.may_generate_for(application.user) and not by.exceeded_by(ApiKey())
    )


def check_change(
    stored: Application | None, user: User | None, skip_authorization: bool, by: Actor
) -> None:
    """Raise PermissionDenied if ``by`` may not save an application with this user and this flag.

    ``stored`` is the application before the change; None for a new one.
    """
    if stored is not None and not may_change(stored, by):
        raise PermissionDenied(_("You may not change this application."))
    if skip_authorization and not is_superuser(by):
        raise PermissionDenied(_("Only a superuser may let an application skip authorization."))
    if user is None or not has_other_user(stored, user):
        return
    try:
        check_target(user, by)
        check_reach(ApiKey(), by)
    except PermissionDenied:
        raise PermissionDenied(
            _("You may not let an application run as this user. Ask an administrator.")
        ) from None
    except ValidationError as error:
        raise PermissionDenied(*error.messages) from None


def has_other_user(stored: Application | None, user: User) -> bool:
    """Whether the stored application is new (None), or its user isn't ``user``."""
    return stored is None or stored.user_id != user.pk


def stored_application(application: Application, *, lock: bool = False) -> Application | None:
    model = type(application)
    rows = model._base_manager.using(router.db_for_write(model))
    return (rows.select_for_update() if lock else rows).filter(pk=application.pk).first()
