"""The toolkit's views at Frappe's URLs, with Frappe's responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.clickjacking import xframe_options_deny
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_variables
from oauth2_provider import views as toolkit
from oauth2_provider.exceptions import OAuthToolkitError
from oauth2_provider.models import AbstractApplication as Application
from oauth2_provider.models import get_application_model, revoke_access_token
from oauth2_provider.oauth2_backends import OAuthLibCore
from oauth2_provider.views.mixins import OAuthLibMixin
from oauthlib.common import Request as OAuthlibRequest
from oauthlib.oauth2 import InvalidRequestError, OAuth2Error
from oauthlib.openid.connect.core.exceptions import ConsentRequired

from frappe_tokens.keys import Actor
from frappe_tokens.verification import challenge

from .answering import DECORATORS, FOR_CLIENTS, UNREADABLE
from .redirects import with_issuer
from .registered import is_unchecked
from .rules import Rules
from .tokens import find_issued, with_mixin
from .well_known import issuer


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


class _ConsentNeeded(Exception):
    """A client that nobody has checked gets no code unless the user is asked."""


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

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        try:
            response: HttpResponseBase = super().get(request, *args, **kwargs)
        except _ConsentNeeded:
            response = self.render_to_response(self.get_context_data(**self.oauth2_data))
        return response

    def create_authorization_response(
        self, request: HttpRequest, scopes: str, credentials: dict[str, object], allow: bool
    ) -> tuple[str, object, object, int]:
        # The toolkit issues codes without asking for applications that skip authorization, and if
        # a client that has a token asks for that.
        if request.method != "POST" and is_unchecked(self.oauth2_data["application"]):
            if "none" in request.GET.get("prompt", "").split():
                refused = ConsentRequired(state=credentials.get("state"))
                raise OAuthToolkitError(error=refused, redirect_uri=credentials["redirect_uri"])
            raise _ConsentNeeded
        issued: tuple[str, object, object, int] = super().create_authorization_response(
            request, scopes, credentials, allow
        )
        return issued

    def redirect(self, redirect_to: str, application: Application | None) -> HttpResponse:
        if application is None:  # for an error, which the toolkit finds before it loads one
            applications = get_application_model()._default_manager
            client_id = self.request.GET.get("client_id")
            application = applications.filter(client_id=client_id).first()
        # The toolkit derives the issuer from the URL that its own views are included at, if any.
        location = with_issuer(redirect_to, issuer(self.request))
        response: HttpResponse = super().redirect(location, application)
        return response

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        context: dict[str, object] = super().get_context_data(**kwargs)
        application = cast("Application", context["application"])
        # A metadata document may have any name, such as one that reverses the text after it.
        name = application.name.strip() if application.name.isprintable() else ""
        context["application_name"] = name or application.client_id
        return context

    def form_valid(self, form: BaseForm) -> HttpResponse:
        if form.cleaned_data["resource"].split() != self.request.GET.getlist("resource"):
            return self.form_invalid(form)
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


@method_decorator(FOR_CLIENTS, name="dispatch")
class GetToken(OAuth2Mixin, toolkit.TokenView):
    """``get_token``: an access token for a code, a refresh token or a client's own credentials."""

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        response: HttpResponse = super().post(request, *args, **kwargs)
        # The toolkit omits it from some errors.
        response["Content-Type"] = "application/json"
        if response.status_code == 401 and "Authorization" not in request.headers:
            response.status_code = 400  # as in Frappe, and in RFC 6749 if no header was sent
            del response["WWW-Authenticate"]
        elif response.status_code == 401:
            response["WWW-Authenticate"] = challenge("basic")  # the scheme that was used
        return response

    get = post


@method_decorator(FOR_CLIENTS, name="dispatch")
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
            revoke_access_token(issued)  # the toolkit only revokes those of an application
