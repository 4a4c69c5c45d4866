"""Authenticates requests for views that are not Django REST framework's."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.exceptions import ImproperlyConfigured
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch, resolve
from django.utils.cache import patch_vary_headers

from .. import credentials, verification
from ..credentials import Credential
from ..exceptions import Refused
from .admission import admit
from .order import misplaced

Answer = HttpResponseBase | Awaitable[HttpResponseBase]
GetResponse = Callable[[HttpRequest], Answer]
AsyncGetResponse = Callable[[HttpRequest], Awaitable[HttpResponseBase]]

# The names that admin sites and the users' own page have in a URLconf.
_APPS_FOR_PEOPLE = frozenset({"admin", "frappe_tokens_account"})

# On a request: the view that was looked at before the decision, and the method.
_DECIDED_FOR = "_frappe_tokens_decided_for"


class TokenAuthenticationMiddleware:
    """Gives every view ``request.user`` and ``request.auth`` of the ``Authorization`` header.

    Put it right behind ``AuthenticationMiddleware``, whose user it replaces where there is a
    credential. A request whose credential is accepted needs no CSRF token: browsers send only Basic
    by themselves, and that is refused where another site made them send it. All other requests need
    one as ever. A refused one is answered here, in JSON, or in HTML where only that is accepted. A
    request without the header, or with another scheme's, passes untouched. For sync and async
    alike.

    Views of Django REST framework are left to their own authentication classes, and so are
    operations of Django Ninja that have some, and views for which :meth:`leaves` says so. Pages for
    which :meth:`is_for_people` says so take no credential, unless ``PAGES_ACCEPT_CREDENTIALS`` is
    set.

    Attributes:
        schemes: those that it answers. A subclass may have fewer.

    Raises:
        ImproperlyConfigured: when the server starts, if what has to stand before it stands behind
            it; at a request, if a middleware behind it has changed which view or method answers.
    """

    sync_capable = True
    async_capable = True
    schemes: tuple[str, ...] = credentials.SCHEMES
    process_view: Callable[..., object]

    def __init__(self, get_response: GetResponse) -> None:
        if behind := misplaced(settings.MIDDLEWARE, type(self)):
            raise ImproperlyConfigured(
                f"In MIDDLEWARE, put {' and '.join(behind)} before {type(self).__qualname__}."
            )
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        # Each as what calls it: another kind is called in another thread, at every request.
        self.process_view = _acheck_view if self._is_async else _check_view
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Answer:
        if self._is_async:
            return self._acall(request)
        credential, info = self._asked(request)
        if credential is not None and info is not None:
            try:
                key = verification.verify(credential, info)
            except Refused as refused:
                return verification.refusal_response(request, refused, credential.scheme)
            admit(request, key.user, key)
        response = cast(HttpResponseBase, self.get_response(request))
        return _varying(request, credential, response)

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        credential, info = self._asked(request)
        if credential is not None and info is not None:
            try:
                key = await verification.averify(credential, info)
            except Refused as refused:
                return verification.refusal_response(request, refused, credential.scheme)
            admit(request, key.user, key)
        response = await cast(AsyncGetResponse, self.get_response)(request)
        return _varying(request, credential, response)

    def leaves(self, request: HttpRequest, view: object) -> bool:
        """Whether ``view`` decides about the header itself. For a subclass to say more.

        Args:
            request: it has a credential of one of our schemes.
            view: what the address leads to; None where that is nothing.
        """
        if hasattr(getattr(view, "cls", None), "authentication_classes"):
            return True
        view_class = getattr(view, "view_class", object)
        if _is_toolkits(view_class):
            # A client of OAuth 2 says there who it is, by Basic or by a token for that alone.
            return not issubclass(view_class, LoginRequiredMixin)
        return any(
            getattr(callback, "openapi_type", "") == "http"
            for callback in _ninja_authentication(request, view)
        )

    def is_for_people(self, request: HttpRequest, match: ResolverMatch) -> bool:
        """Whether an address leads to a page for people in browsers. For a subclass to say more.

        These are the admin sites, the users' own page, and those of django-oauth-toolkit's pages
        that ask for a login: consent, devices, applications and their tokens.

        Args:
            request: it has a credential of one of our schemes, and :meth:`leaves` said no.
            match: where the address leads to.
        """
        view: object = match.func
        if not _APPS_FOR_PEOPLE.isdisjoint(match.app_names):
            return True
        # AdminSite and ModelAdmin mark their views, wherever these are included.
        if hasattr(view, "admin_site") or hasattr(view, "model_admin"):
            return True
        view_class = getattr(view, "view_class", object)
        return issubclass(view_class, LoginRequiredMixin) and _is_toolkits(view_class)

    def _asked(
        self, request: HttpRequest
    ) -> tuple[Credential | None, verification.RequestInfo | None]:
        """The credential, if any, and what is to be decided about it, if that is for us."""
        credential = credentials.parse_any(request.META.get("HTTP_AUTHORIZATION"), self.schemes)
        if credential is None:
            return None, None
        match = _match(request)
        view = match and match.func
        setattr(request, _DECIDED_FOR, (view, request.method))
        if self.leaves(request, view):
            return credential, None
        return credential, verification.RequestInfo(
            request,
            verification.DeclaredScopes(view, request.method or ""),
            for_people=match is not None and self.is_for_people(request, match),
        )


def _is_toolkits(view_class: type[object]) -> bool:
    """Whether it is one of django-oauth-toolkit's views, or made from one."""
    return any(base.__module__.startswith("oauth2_provider.") for base in view_class.__mro__)


def _match(request: HttpRequest) -> ResolverMatch | None:
    """Where the address leads to; None for nowhere."""
    paths = [request.path_info]
    if settings.APPEND_SLASH and not request.path_info.endswith("/"):
        # CommonMiddleware sends the client there, and should do so for a scoped key as well.
        paths.append(f"{request.path_info}/")
    for path in paths:
        try:
            return resolve(path, getattr(request, "urlconf", None))
        except Http404:
            pass
    return None


def _ninja_authentication(request: HttpRequest, view: object) -> list[object]:
    """Return the ``auth`` of the operation of Django Ninja that will answer, if it is one."""
    inner = inspect.unwrap(view) if callable(view) else None
    if inner is None or getattr(inner, "__module__", "") != "ninja.operation":
        return []
    # Nothing public leads from a view to its operations. It is a method of the PathView that has
    # them (Ninja 1.4), or a function that refers to it. If neither, the middleware decides.
    if inspect.isfunction(inner):
        path_view = inspect.getclosurevars(inner).nonlocals.get("self")
    else:
        path_view = getattr(inner, "__self__", None)
    return [
        callback
        for operation in getattr(path_view, "operations", ())
        if request.method in operation.methods
        for callback in operation.auth_callbacks
    ]


def _check_view(request: HttpRequest, view: object, args: object, kwargs: object) -> None:
    """Refuse to go on where the decision was about something else than what is to answer."""
    decided_for = getattr(request, _DECIDED_FOR, None)
    if decided_for is None:
        return
    if decided_for[0] is not view:
        raise ImproperlyConfigured(
            "A middleware behind TokenAuthenticationMiddleware changes which view an address leads "
            "to (request.urlconf, or the language): put it before, so that the scopes of the right "
            "view are asked for."
        )
    if decided_for[1] != request.method:
        raise ImproperlyConfigured(
            "A middleware behind TokenAuthenticationMiddleware changes request.method: put it "
            "before, so that both methods are asked about, the one that was sent and the new one."
        )


async def _acheck_view(request: HttpRequest, view: object, args: object, kwargs: object) -> None:
    _check_view(request, view, args, kwargs)


def _varying(
    request: HttpRequest, credential: Credential | None, response: HttpResponseBase
) -> HttpResponseBase:
    """Tell caches, Django's own among them, to keep the answers for different keys apart.

    Those without a credential too, where they depend on who asks: where the session was looked at.
    """
    session = getattr(request, "session", None)
    if credential is not None or getattr(session, "accessed", False):
        patch_vary_headers(cast(HttpResponse, response), ["Authorization"])
    return response
