"""The toolkit's views at Frappe's addresses, with Frappe's answers."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.clickjacking import xframe_options_deny
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.debug import sensitive_post_parameters
from oauth2_provider import views as toolkit
from oauth2_provider.models import (
    get_access_token_model,
    get_refresh_token_model,
    refresh_token_expire_timedelta,
)
from oauthlib.oauth2 import InvalidRequestError
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from frappe_tokens.api.rpc import RpcView
from frappe_tokens.authentication import BearerAuthentication
from frappe_tokens.keys import Actor
from frappe_tokens.verification import challenge

from .answering import OF_ALL, UNREADABLE
from .profile import claims
from .tokens import may_run_as_owner
from .validators import IntrospectionRules, RevocationRules, Rules, with_rules

# They answer clients: no user who could log in, and no browser that could be led here.
_OF_CLIENTS = [*OF_ALL, csrf_exempt, sensitive_post_parameters()]


if TYPE_CHECKING:
    from oauth2_provider.views import TokenView as _Base  # one of those that it stands before
else:
    _Base = object


class OAuth2Mixin(_Base):
    """What the toolkit's views have in common here.

    Attributes:
        rules: what stands before the project's validator.
    """

    rules: Any = Rules

    @classmethod
    def get_validator_class(cls) -> type[Any]:
        return with_rules(cls.rules, super().get_validator_class())

    @classmethod
    def get_oauthlib_core(cls) -> Any:
        # The toolkit keeps one on the class, which a class above may have made with its own rules.
        return cls.get_oauthlib_backend_class()(cls.get_server())

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        answer: HttpResponseBase
        if str(request.method).lower() not in self.http_method_names:
            # Before the client is asked who it is.
            answer = self.http_method_not_allowed(request)
        else:
            answer = super().dispatch(request, *args, **kwargs)
        return answer


class _ForSessions(_Base):
    """Stands behind the mixin, which answers where the session's database does not."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if Actor.of(request).credential is not None:
            # An API key would get a token of which nobody knows what it may do.
            raise PermissionDenied("Only a user who is signed in can give access.")
        answer: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        return answer


# It sends who is not logged in there itself, and only after it has looked at ``prompt``.
@method_decorator([*OF_ALL, csrf_protect, xframe_options_deny], name="dispatch")
class Authorize(OAuth2Mixin, _ForSessions, toolkit.AuthorizationView):
    """``authorize``: asks the user whether an application may have access, and gives it a code."""

    template_name = "frappe_tokens/oauth2/authorize.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        _accept_lower_case(request)
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        try:
            answer: HttpResponse = super().form_valid(form)
        except ObjectDoesNotExist:
            return self.form_invalid(form)  # its application was deleted meanwhile
        return answer

    def form_invalid(self, form: Any) -> HttpResponse:
        # All of it is hidden, so that there is nothing that the user could mend.
        error = InvalidRequestError(description=UNREADABLE)
        return self.render_to_response({"error": error}, status=error.status_code)

    def render_to_response(self, context: Any, **kwargs: Any) -> HttpResponse:
        error = context.get("error")
        forms = ["application/json", "text/html"]
        if error is not None and self.request.get_preferred_type(forms) == forms[0]:
            shown = {"error": error.error, "description": error.description}
            return JsonResponse({**shown, "status_code": error.status_code}, **kwargs)
        page: HttpResponse = super().render_to_response(context, **kwargs)
        return page


def _accept_lower_case(request: HttpRequest) -> None:
    """Frappe's documentation writes the method of PKCE as ``s256``."""
    if request.GET.get("code_challenge_method") == "s256":
        query = request.GET.copy()
        query["code_challenge_method"] = "S256"
        # The stubs know only the one that the server made, which nothing may change.
        request.GET = query  # type: ignore[assignment]
        request.META["QUERY_STRING"] = query.urlencode()


@method_decorator(_OF_CLIENTS, name="dispatch")
class GetToken(OAuth2Mixin, toolkit.TokenView):
    """``get_token``: an access token for a code, a refresh token or a client's own credentials."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        answer: HttpResponse = super().post(request, *args, **kwargs)
        # Which the toolkit forgets about some errors.
        answer["Content-Type"] = "application/json"
        if answer.status_code == 401 and "Authorization" not in request.headers:
            answer.status_code = 400  # Frappe's, and RFC 6749's where no header was sent
            del answer["WWW-Authenticate"]
        return answer

    get = post


@method_decorator(_OF_CLIENTS, name="dispatch")
class RevokeToken(OAuth2Mixin, toolkit.RevokeTokenView):
    """``revoke_token``: ends an access token or a refresh token, and the one that belongs to it."""

    rules = RevocationRules

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        answer: HttpResponse = super().post(request, *args, **kwargs)
        return JsonResponse({}) if answer.status_code == 200 else answer

    get = post


@method_decorator(_OF_CLIENTS, name="dispatch")
class IntrospectToken(OAuth2Mixin, toolkit.IntrospectTokenView):
    """``introspect_token``: tells a client with a secret what a token is (RFC 7662)."""

    rules = IntrospectionRules
    # By GET the token would be in the address.
    http_method_names = ["post", "options"]

    def verify_request(self, request: HttpRequest) -> tuple[bool, Any]:
        """Whether it came with an access token that has the scope ``introspection``."""
        if "Authorization" not in request.headers:
            return False, None  # the toolkit would take one from the body or the query
        valid, asked = super().verify_request(request)
        return valid and _runs_as_active(asked.access_token), asked

    def unauthenticated_response(self, request: HttpRequest, asked: Any = None) -> HttpResponse:
        answer = JsonResponse(
            {
                "error": "invalid_client",
                "error_description": "Send the client_id and the client_secret of a confidential "
                "client, by HTTP Basic or in the body.",
            },
            status=401,
        )
        answer["WWW-Authenticate"] = challenge("basic")
        return answer

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        token = request.POST.get("token")
        answer: HttpResponse = self.get_token_response(token)
        if token is None:
            return answer
        # Of an access token the toolkit has told already; of a refresh token it knows nothing.
        issued = _issued(token)
        if issued is None or not _runs_as_active(issued):
            return JsonResponse({"active": False})
        told = json.loads(answer.content)
        if isinstance(issued, get_refresh_token_model()):
            told = _about_refresh_token(issued)
        if told["active"] and issued.application is not None:
            told["trusted_client"] = issued.application.skip_authorization
        if "openid" in told.get("scope", "").split() and issued.user is not None:
            told |= claims(issued.user, issued, request)
        return JsonResponse(told)


def _issued(token: str) -> Any:
    """The access token or the refresh token; None where nobody issued it."""
    checksum = hashlib.sha256(token.encode()).hexdigest()
    related = {
        get_access_token_model(): ("user", "application__user"),
        get_refresh_token_model(): ("user", "application__user", "access_token"),
    }
    for model, names in related.items():
        issued = model._default_manager.select_related(*names).filter(token_checksum=checksum)
        if (found := issued.first()) is not None:
            return found
    return None


def _about_refresh_token(issued: Any) -> dict[str, Any]:
    if issued.revoked is not None or issued.access_token is None:
        return {"active": False}
    # After its access token, as the toolkit counts when it is redeemed.
    lasts = refresh_token_expire_timedelta()
    if lasts and issued.access_token.expires + lasts <= timezone.now():
        return {"active": False}
    return {
        "active": True,
        "scope": issued.access_token.scope,
        "client_id": issued.application.client_id,
        "username": issued.user.get_username(),
    }


def _runs_as_active(issued: Any) -> bool:
    """Whether requests with a token run as an active user: its own, else the application's."""
    user = issued.user
    if user is None and issued.application is not None:
        user = issued.application.user
    return user is not None and bool(user.is_active) and may_run_as_owner(issued)


class OpenIdProfile(RpcView):
    """``openid_profile``: who the user of an access token with the scope ``openid`` is."""

    authentication_classes = [BearerAuthentication]
    permission_classes = [IsAuthenticated]
    required_scopes = ["openid"]
    schema = None

    def get(self, request: Request) -> Response:
        # Not in an envelope: its readers are those of OpenID Connect.
        return Response(claims(request.user, request.auth, request._request))

    post = get
