"""Who a user is, in the words of OpenID Connect and of Frappe."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from oauth2_provider.settings import oauth2_settings
from oauthlib.common import Request


def issuer(request: HttpRequest) -> str:
    """The issuer's identifier: ``OIDC_ISS_ENDPOINT``, else the site, as in Frappe."""
    own: str = oauth2_settings.OIDC_ISS_ENDPOINT
    return own or request.build_absolute_uri("/").rstrip("/")


def claims(user: Any, credential: Any, request: HttpRequest) -> dict[str, Any]:
    """What ``openid_profile`` tells.

    Frappe's claims, and those of the project's ``OAUTH2_VALIDATOR_CLASS`` over them.

    Args:
        user: whose.
        credential: the access token, or the API key.
        request: Django's.
    """
    asked = Request("", body="")
    asked.user = user
    asked.access_token = credential
    asked.scopes = str(getattr(credential, "scope", "openid")).split()
    own = oauth2_settings.OAUTH2_VALIDATOR_CLASS().get_userinfo_claims(asked)
    return {
        "name": _full_name(user),
        "given_name": getattr(user, "first_name", ""),
        "family_name": getattr(user, "last_name", ""),
        "email": getattr(user, user.get_email_field_name(), ""),
        "picture": None,
        "roles": _roles(user),
        "iss": issuer(request),
        **own,
    }


def _full_name(user: Any) -> str:
    full = user.get_full_name() if hasattr(user, "get_full_name") else ""
    return full or str(user.get_username())


def _roles(user: Any) -> list[str]:
    groups = getattr(user, "groups", None)
    return sorted(groups.values_list("name", flat=True)) if groups is not None else []
