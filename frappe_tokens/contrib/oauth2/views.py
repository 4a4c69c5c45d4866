"""The toolkit's views at Frappe's URLs, with Frappe's responses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.clickjacking import xframe_options_deny
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from oauth2_provider import models
from oauth2_provider import views as toolkit
from oauth2_provider.oauth2_backends import OAuthLibCore
from oauth2_provider.settings import oauth2_settings
from oauth2_provider.views.mixins import OAuthLibMixin
from oauthlib.common import Request as OAuthlibRequest
from oauthlib.oauth2 import InvalidRequestError, OAuth2Error
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from frappe_tokens.api.rpc import RpcView
from frappe_tokens.authentication import BearerAuthentication
from frappe_tokens.keys import Actor
from frappe_tokens.types import User
from frappe_tokens.verification import challenge

from .answering import DECORATORS, UNREADABLE
from .rules import IntrospectionRules, Rules
from .tokens import find_issued, may_run_as_owner, with_mixin
from .well_known import issuer

# For views whose clients are programs: they have no session, and need no CSRF token.
_FOR_CLIENTS = [*DECORATORS, csrf_exempt, sensitive_post_parameters()]


class OAuth2Mixin(OAuthLibMixin, View):
    """The base of the views. ``rules`` come before the project's validator."""

    rules = Rules

    @classmethod
    def get_validator_class(cls) -> type[Rules]:
        return with_mixin(cls.rules, super().get_validator_class())

    @classmethod
    def get_oauthlib_core(cls) -> OAuthLibCore:
        # The toolkit would reuse one of a parent class, with other rules.
        return cls.get_oauthlib_backend_class()(cls.get_server())

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        if str(request.method).lower() not in self.http_method_names:
            return self.http_method_not_allowed(request)  # before authenticating the client
        return super().dispatch(request, *args, **kwargs)


# The toolkit's view redirects to the login itself, after it has checked ``prompt``.
@method_decorator([*DECORATORS, csrf_protect, xframe_options_deny], name="dispatch")
class Authorize(OAuth2Mixin, toolkit.AuthorizationView):
    """``authorize``: asks users whether an application may have access, and issues a code."""

    template_name = "frappe_tokens/oauth2/authorize.html"

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        if Actor.of(request).credential is not None:
            # The access token wouldn't have the limits of an API key.
            raise PermissionDenied("Only a user who is signed in can give access.")
        if request.GET.get("code_challenge_method") == "s256":  # as Frappe's documentation has it
            query = request.GET.copy()
            query["code_challenge_method"] = "S256"
            # The stubs only know the immutable QueryDict that the server builds.
            request.GET = query  # type: ignore[assignment]
            request.META["QUERY_STRING"] = query.urlencode()
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: BaseForm) -> HttpResponse:
        try:
            response: HttpResponse = super().form_valid(form)
        except ObjectDoesNotExist:
            return self.form_invalid(form)  # its application has been deleted
        return response

    def form_invalid(self, form: BaseForm) -> HttpResponse:
        # All fields are hidden, so the user can't correct them.
        error = InvalidRequestError(description=UNREADABLE)
        return self.render_to_response({"error": error}, status=error.status_code)

    def render_to_response(self, context: Mapping[str, object], **kwargs: Any) -> HttpResponse:
        error = context.get("error")
        preferred = self.request.get_preferred_type(["application/json", "text/html"])
        if isinstance(error, OAuth2Error) and preferred == "application/json":
            content = {"error": error.error, "description": error.description}
            return JsonResponse({**content, "status_code": error.status_code}, **kwargs)
        response: HttpResponse = super().render_to_response(context, **kwargs)
        return response


@method_decorator(_FOR_CLIENTS, name="dispatch")
class GetToken(OAuth2Mixin, toolkit.TokenView):
    """``get_token``: an access token for a code, a refresh token or a client's own credentials."""

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        response: HttpResponse = super().post(request, *args, **kwargs)
        # The toolkit omits it from some errors.
        response["Content-Type"] = "application/json"
        if response.status_code == 401 and "Authorization" not in request.headers:
            response.status_code = 400  # as in Frappe, and in RFC 6749 if no header was sent
            del response["WWW-Authenticate"]
        return response

    get = post


@method_decorator(_FOR_CLIENTS, name="dispatch")
class RevokeToken(OAuth2Mixin, toolkit.RevokeTokenView):
    """``revoke_token``: revokes an access token or refresh token, and the other one of the pair."""

    @sensitive_variables()
    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        sent = dict(self.get_oauthlib_core().extract_body(request))
        token = sent.get("token")
        names_client = request.headers.get("Authorization") or sent.get("client_id")
        if token and not names_client and not request.GET:
            self._revoke(token)
            return JsonResponse({})
        response: HttpResponse = super().post(request, *args, **kwargs)
        return JsonResponse({}) if response.status_code == 200 else response

    get = post

    @sensitive_variables()
    def _revoke(self, token: str) -> None:
        """Anyone who holds a token may revoke it without naming a client, as in Frappe."""
        issued = find_issued(token)
        if issued is not None and issued.application is not None:
            client = OAuthlibRequest("", body="")
            client.client = issued.application
            self.get_validator_class()().revoke_token(token, "", client)
        elif issued is not None:
            models.revoke_access_token(issued)  # the toolkit only revokes those of an application


@method_decorator(_FOR_CLIENTS, name="dispatch")
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
    return {
        "active": True,
        "scope": issued.access_token.scope,
        "client_id": issued.application.client_id,
        "username": issued.user.get_username(),
    }


def _runs_as_active_user(issued: models.AbstractAccessToken | models.AbstractRefreshToken) -> bool:
    """Whether requests with a token run as an active user: its own, else the application's."""
    user = issued.user or (issued.application and issued.application.user)
    return bool(user and user.is_active and may_run_as_owner(issued))


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
