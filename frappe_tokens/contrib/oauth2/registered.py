"""Clients that no administrator has checked.

They registered themselves (RFC 7591), or have a metadata document (CIMD), so anyone on the internet
may be behind them. They are never trusted, and get no more scopes than are declared for them.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.utils import timezone
from oauth2_provider.models import AbstractApplication as Application
from oauth2_provider.models import get_application_model

from frappe_tokens.conf import conf


def is_unchecked(application: Application) -> bool:
    """Whether no administrator has registered ``application``."""
    return bool(application.registration_source != Application.RegistrationSource.MANUAL)


def allowed_scopes(application: Application, scopes: Iterable[str]) -> list[str]:
    """Return those of ``scopes`` that ``application`` may have."""
    if not is_unchecked(application):
        return list(scopes)
    declared = conf.OAUTH_REGISTRATION_SCOPES
    return [scope for scope in scopes if scope in declared]


def may_have(application: Application | None, scopes: Iterable[str]) -> bool:
    """Whether ``application`` may have all of ``scopes``.

    A token of an unchecked client may hold more: it got it by the toolkit's own URLs, or before a
    scope was removed from the setting.
    """
    scopes = list(scopes)
    return application is None or len(allowed_scopes(application, scopes)) == len(scopes)


def record_use(application: Application) -> None:
    """Record that an unchecked client got a token, for :mod:`.unused`.

    ``cleartokens`` may delete the token long before the client counts as unused.
    """
    rows = get_application_model()._default_manager.filter(pk=application.pk)
    rows.update(updated=timezone.now())
