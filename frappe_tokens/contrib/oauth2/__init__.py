"""django-oauth-toolkit as the OAuth 2 server.

With ``oauth2_provider`` in ``INSTALLED_APPS``, ``BearerAuthentication`` and the middleware accept
its access tokens. Serve its flows at Frappe's URLs with::

    path("api/", include("frappe_tokens.contrib.oauth2.urls")),
    path("", include("frappe_tokens.contrib.oauth2.well_known")),
"""

from __future__ import annotations

import logging
from typing import Any

from django.apps import apps
from django.core import checks
from django.core.checks import Tags
from django.db.models.signals import post_delete, post_save, pre_save
from django.http import HttpRequest

from frappe_tokens.checks import TAG
from frappe_tokens.credentials import ACCESS_TOKEN_MAX_LENGTH
from frappe_tokens.crypto import Secret
from frappe_tokens.keys import allow_application, withdraw_application
from frappe_tokens.verification import AccessToken, register_access_tokens

__all__ = ["allow_application", "register"]

logger = logging.getLogger(__name__)


def register() -> None:
    """Accept the toolkit's access tokens, and guard its pages in the admin."""
    from oauth2_provider.models import get_access_token_model, get_application_model

    from .redirects import allow_native_apps
    from .registration_check import check_registration

    register_access_tokens(_find, _metadata_url)
    checks.register(check_registration, TAG, Tags.security)
    allow_native_apps(get_application_model())
    for model in apps.get_models():
        if issubclass(model, get_application_model()):  # proxies send their own signals
            for signal in (post_save, post_delete):
                signal.connect(withdraw_application, sender=model)
    pre_save.connect(_report_too_long, sender=get_access_token_model())
    if apps.is_installed("django.contrib.admin"):
        from .admin import check_admin, guard_all

        guard_all()
        checks.register(check_admin, TAG, Tags.security)


def _report_too_long(instance: Any, **kwargs: object) -> None:
    """Log that an issued access token will be refused."""
    # If only the checksum is stored, the token is in the private attribute until it is saved.
    length = len(instance.token or getattr(instance, "_raw_token", None) or "")
    if length > ACCESS_TOKEN_MAX_LENGTH:
        logger.error(
            "An access token of %d characters is issued. It will be refused, because the limit "
            "is %d. Change OAUTH2_PROVIDER['ACCESS_TOKEN_GENERATOR'].",
            length,
            ACCESS_TOKEN_MAX_LENGTH,
        )


def _find(token: Secret, request: HttpRequest) -> AccessToken | None:
    # Imported with the first token, because it loads as many modules as Django itself.
    from .tokens import find

    return find(token, request)


def _metadata_url(request: HttpRequest, is_resource: bool) -> str:
    from .well_known import metadata_url

    return metadata_url(request, is_resource)
