"""``openid_profile``: describes the user of an access token."""

from __future__ import annotations

from django.http import HttpRequest
from oauth2_provider.settings import oauth2_settings
from oauthlib.common import Request as OAuthlibRequest
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from frappe_tokens.api.rpc import RpcView
from frappe_tokens.authentication import BearerAuthentication
from frappe_tokens.types import User

from .well_known import issuer


class OpenIdProfile(RpcView):
    """``openid_profile``: describes the user of an access token with the scope ``openid``."""

    authentication_classes = [BearerAuthentication]
    permission_classes = [IsAuthenticated]
    required_scopes = ["openid"]
    schema = None

    def get(self, request: Request) -> Response:
        # Without Frappe's envelope, for clients of OpenID Connect.
        return Response(claims(request.auth.user, request.auth, request._request))

    post = get


def claims(user: User, credential: object, request: HttpRequest) -> dict[str, object]:
    """Return Frappe's claims, overridden by those of the project's ``OAUTH2_VALIDATOR_CLASS``."""
    oauthlib_request = OAuthlibRequest("", body="")
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
