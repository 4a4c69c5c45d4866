"""``introspect_token``: describes a token to a client with a secret (RFC 7662)."""

from __future__ import annotations

import json

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from oauth2_provider import models
from oauth2_provider import views as toolkit
from oauthlib.common import Request as OAuthlibRequest

from frappe_tokens.verification import challenge

from .answering import FOR_CLIENTS
from .profile import claims
from .registered import may_have
from .rules import IntrospectionRules
from .tokens import find_issued, may_run_as_owner
from .views import OAuth2Mixin


@method_decorator(FOR_CLIENTS, name="dispatch")
class IntrospectToken(OAuth2Mixin, toolkit.IntrospectTokenView):
    """``introspect_token``: describes a token to a client with a secret (RFC 7662)."""

    rules = IntrospectionRules
    # With GET the token would be in the URL.
    http_method_names = ["post", "options"]

    def verify_request(self, request: HttpRequest) -> tuple[bool, OAuthlibRequest | None]:
        """Whether the request has an access token with the scope ``introspection``."""
        if "Authorization" not in request.headers:
            return False, None  # the toolkit would read one from the body or the query string
        valid, oauthlib_request = super().verify_request(request)
        return valid and _runs_as_active_user(oauthlib_request.access_token), oauthlib_request

    def unauthenticated_response(
        self, request: HttpRequest, oauthlib_request: OAuthlibRequest | None = None
    ) -> HttpResponse:
        content = {
            "error": "invalid_client",
            "error_description": "Send the client_id and the client_secret of a confidential "
            "client, with HTTP Basic or in the body.",
        }
        return JsonResponse(content, status=401, headers={"WWW-Authenticate": challenge("basic")})

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        token = request.POST.get("token")
        response: HttpResponse = self.get_token_response(token)
        if token is None:
            return response
        issued = find_issued(token)
        if issued is None or not _runs_as_active_user(issued):
            return JsonResponse({"active": False})
        content: dict[str, object] = json.loads(response.content)
        if isinstance(issued, models.get_refresh_token_model()):  # unknown to the toolkit's view
            content = _describe_refresh_token(issued)
        if content["active"] and issued.application is not None:
            content["trusted_client"] = issued.application.skip_authorization
        if "openid" in str(content.get("scope", "")).split() and issued.user is not None:
            content |= claims(issued.user, issued, request)
        return JsonResponse(content)


def _describe_refresh_token(issued: models.AbstractRefreshToken) -> dict[str, object]:
    if issued.revoked is not None or issued.access_token is None:
        return {"active": False}
    # It starts when its access token expires, as when the toolkit accepts it.
    lifetime = models.refresh_token_expire_timedelta()
    if lifetime and issued.access_token.expires + lifetime <= timezone.now():
        return {"active": False}
    ends = {"exp": int((issued.access_token.expires + lifetime).timestamp())} if lifetime else {}
    return {
        "active": True,
        "scope": issued.access_token.scope,
        "client_id": issued.application.client_id,
        "username": issued.user.get_username(),
        **ends,
    }


def _runs_as_active_user(issued: models.AbstractAccessToken | models.AbstractRefreshToken) -> bool:
    """Whether requests with a token run as an active user: its own, else the application's."""
    token = getattr(issued, "access_token", issued)  # a refresh token's scopes
    scopes = token.scope.split() if token is not None else []
    if not (may_run_as_owner(issued) and may_have(issued.application, scopes)):
        return False
    user = issued.user or (issued.application and issued.application.user)
    return bool(user and user.is_active)
