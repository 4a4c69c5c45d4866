"""Describes a user in the terms of OpenID Connect and of Frappe."""

from __future__ import annotations

from django.http import HttpRequest
from oauth2_provider.models import AbstractAccessToken, AbstractRefreshToken
from oauth2_provider.settings import oauth2_settings
from oauthlib.common import Request

from frappe_tokens.base_models import AbstractApiKey
from frappe_tokens.types import User


def issuer(request: HttpRequest) -> str:
    """Return the issuer's identifier: ``OIDC_ISS_ENDPOINT``, else the site, as in Frappe."""
    return oauth2_settings.OIDC_ISS_ENDPOINT or request.build_absolute_uri("/").rstrip("/")


def claims(
    user: User,
    credential: AbstractAccessToken | AbstractRefreshToken | AbstractApiKey,
    request: HttpRequest,
) -> dict[str, object]:
    """Return Frappe's claims, overridden by those of the project's ``OAUTH2_VALIDATOR_CLASS``."""
    oauthlib_request = Request("", body="")
    oauthlib_request.user = user
    oauthlib_request.access_token = credential
    oauthlib_request.scopes = str(getattr(credential, "scope", "openid")).split()
    full_name = user.get_full_name() if hasattr(user, "get_full_name") else ""
    groups = getattr(user, "groups", None)
    return {
        "name": full_name or str(user.get_username()),
        "given_name": getattr(user, "first_name", ""),
        "family_name": getattr(user, "last_name", ""),
        "email": getattr(user, user.get_email_field_name(), ""),
        "picture": None,
        "roles": sorted(groups.values_list("name", flat=True)) if groups is not None else [],
        "iss": issuer(request),
        **oauth2_settings.OAUTH2_VALIDATOR_CLASS().get_userinfo_claims(oauthlib_request),
    }
