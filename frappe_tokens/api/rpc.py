"""Frappe's remote calls about users and their keys, at Frappe's own URLs."""

from __future__ import annotations

from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import MethodNotAllowed, NotFound, ValidationError
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from .. import __version__
from ..authentication import BasicAuthentication, BearerAuthentication, TokenAuthentication
from ..base_models import AbstractApiKey
from ..keys import UNKNOWN, Actor, find_user, generate_keys, outside_atomic_requests
from ..permissions import CanGenerateKeys
from ..types import User
from ..verification import may_be_browser
from .bodies import MAX_BYTES
from .envelope import FrappeEnvelopeMixin, JSONMixin


class IsKnown(IsAuthenticated):
    """Allows users with a session or a known credential. See :meth:`Actor.of`."""

    message = gettext_lazy("Sign in again without an Authorization header, or send an API key.")

    def has_permission(self, request: Request, view: APIView) -> bool:
        return super().has_permission(request, view) and (
            Actor.of(request).credential is not UNKNOWN
        )


@method_decorator([outside_atomic_requests, never_cache], name="dispatch")
class AppView(JSONMixin):
    """The base of the app's views, independent of the project's settings of DRF."""

    authentication_classes = [
        TokenAuthentication,
        BasicAuthentication,
        BearerAuthentication,
        SessionAuthentication,
    ]
    permission_classes = [IsKnown]
    throttle_classes = []
    versioning_class = None
    max_body_bytes = MAX_BYTES


class RpcView(FrappeEnvelopeMixin, AppView):
    """A remote call."""


class GetLoggedUser(RpcView):
    """``frappe.auth.get_logged_user``: the user that the request runs as.

    Every valid credential opens it, because clients use it to test their connection.
    """

    accepts_any_scope = True

    def get(self, request: Request) -> Response:
        return Response({"message": str(request.user.get_username())})

    post = get


class Ping(RpcView):
    """``ping``: whether the site responds. Open to anyone, as in Frappe."""

    accepts_any_scope = True
    permission_classes = [AllowAny]

    def get(self, request: Request) -> Response:
        return Response({"message": "pong"})

    post = get


class Version(RpcView):
    """``version``: of this package. Unlike in Frappe, it needs a credential."""

    accepts_any_scope = True

    def get(self, request: Request) -> Response:
        return Response({"message": __version__})

    post = get


class CanGenerateNamedKeys(CanGenerateKeys):
    """Also allows users who may generate keys for the user in the request."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if super().has_permission(request, view):
            return True
        actor = Actor.of(request)
        user = _find_user(request) if actor.may_lead else None
        return user is not None and actor.has_permission_for(user)


class GenerateKeys(RpcView):
    """``frappe.core.doctype.user.user.generate_keys``: a new secret for a user's unnamed key.

    ``user`` (the username) comes in a form, JSON or, if the body has none, the query.
    """

    permission_classes = [IsKnown, CanGenerateNamedKeys]
    http_method_names = ["get", "post", "options"]  # Django would answer HEAD as GET

    def get(self, request: Request) -> Response:
        # Frappe's clients use GET. But another site can make a browser send a GET request, with the
        # session's cookie or a Basic login.
        if not isinstance(request.auth, AbstractApiKey):
            raise MethodNotAllowed(
                "GET", _("With a session, generate keys by POST with its CSRF token.")
            )
        by_basic = isinstance(request.successful_authenticator, BasicAuthentication)
        if by_basic and may_be_browser(request):
            raise MethodNotAllowed(
                "GET", _("Browsers add a Basic login by themselves. Generate keys by POST.")
            )
        return self.post(request)

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        username = _username(request)
        if not username:
            problem = _("Name the user: user=<username>.")
            raise ValidationError({"detail": problem, "code": "no_user"})
        user = _find_user(request)
        if user is None:
            raise NotFound(_("User %(user)s not found.") % {"user": username})
        try:
            generated = generate_keys(user, by=Actor.of(request))
        except DjangoValidationError as error:
            raise ValidationError({"detail": error.messages[0], "code": error.code}) from error
        return Response(
            {"message": {"api_key": generated.api_key, "api_secret": generated.api_secret}}
        )


def _find_user(request: Request) -> User | None:
    """Return the user in the request; None if there is none."""
    username = _username(request)
    # Frappe's documentation shows the name in quotes.
    is_quoted = len(username) > 2 and username[0] == username[-1] == '"'
    return find_user(username) or (find_user(username[1:-1]) if is_quoted else None)


def _username(request: Request) -> str:
    body = request.data if isinstance(request.data, dict) else {}
    username = body.get("user") or request.query_params.get("user")
    return username if isinstance(username, str) else ""
