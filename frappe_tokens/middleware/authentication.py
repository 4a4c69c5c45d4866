"""Authenticates requests for views that are not Django REST framework's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import cast

from django.conf import settings
from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.exceptions import ImproperlyConfigured
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch, resolve
from django.utils.cache import patch_vary_headers
from django.utils.deprecation import MiddlewareMixin

from .. import credentials, verification
from ..credentials import Credential
from ..exceptions import Refused
from ..verification import RequestInfo
from .admission import admit
from .installed import misplaced

Answer = HttpResponseBase | Awaitable[HttpResponseBase]

# The names of admin sites and of the users' own page in a URLconf.
_APPS_FOR_PEOPLE = frozenset({"admin", "frappe_tokens_account"})

# On a request: the view and the method that its credential was checked for.
_CHECKED_FOR = "_frappe_tokens_checked_for"


class TokenAuthenticationMiddleware(MiddlewareMixin):
    """Sets ``request.user`` and ``request.auth`` by the ``Authorization`` header, for every view.

    Put it right after ``AuthenticationMiddleware``, whose user it replaces if there is a
    credential. A request with an accepted credential needs no CSRF token. A refused one gets a
    response in JSON, or in HTML if the client accepts only that. A request without the header, or
    with another scheme, isn't changed. A token of ours without a scheme is refused. Works for sync
    and async.

    Views for which :meth:`leaves` returns True authenticate requests themselves. Pages for which
    :meth:`is_for_people` returns True accept no credential, unless ``PAGES_ACCEPT_CREDENTIALS`` is
    set.

    Attributes:
        schemes: the schemes that it accepts. A subclass may have fewer.

    Raises:
        ImproperlyConfigured: when the server starts, if a middleware that must come before it comes
            after it; for a request, if a later middleware has changed which view or method answers.
    """

    schemes: tuple[str, ...] = credentials.SCHEMES
    process_view: Callable[..., object]

    def __init__(self, get_response: Callable[[HttpRequest], Answer]) -> None:
        if late := misplaced(settings.MIDDLEWARE, type(self)):
            raise ImproperlyConfigured(
                f"In MIDDLEWARE, put {' and '.join(late)} before {type(self).__qualname__}."
            )
        super().__init__(get_response)
        # Django would call one of the other kind in a thread, for every request.
        self.process_view = _acheck_view if self.async_mode else _check_view

    def __call__(self, request: HttpRequest) -> Answer:
        if self.async_mode:
            return self.__acall__(request)
        credential, info = self._read(request)
        if credential is not None and info is not None:
            try:
                admit(request, verification.verify(credential, info))
            except Refused as refused:
                return self._refuse(request, refused, credential, info)
        return _vary(request, credential, cast(HttpResponse, self.get_response(request)))

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        credential, info = self._read(request)
        if credential is not None and info is not None:
            try:
                admit(request, await verification.averify(credential, info))
            except Refused as refused:
                return self._refuse(request, refused, credential, info)
        response = await cast(Awaitable[HttpResponse], self.get_response(request))
        return _vary(request, credential, response)

    def leaves(self, request: HttpRequest, view: object) -> bool:
        """Return whether ``view`` handles the header itself. A subclass may add views.

        Views of Django REST framework do, operations of Django Ninja that have ``auth``, and
        django-oauth-toolkit's for its clients.

        Args:
            request: it has a credential with one of our schemes.
            view: the view that the path resolves to, if any.
        """
        if hasattr(getattr(view, "cls", None), "authentication_classes"):
            return True
        view_class = getattr(view, "view_class", object)
        if _is_from_toolkit(view_class):
            # There, clients of OAuth 2 authenticate by Basic or by a token for that purpose.
            return not issubclass(view_class, LoginRequiredMixin)
        return _has_ninja_authentication(request, view)

    def is_for_people(self, request: HttpRequest, match: ResolverMatch) -> bool:
        """Return whether a path is a page for people in browsers. A subclass may add pages.

        These are the admin sites, the users' own page, and django-oauth-toolkit's pages that
        require a login: consent, devices, applications and their tokens.

        Args:
            request: it has a credential with one of our schemes, and :meth:`leaves` was False.
            match: what the path resolves to.
        """
        view = match.func
        view_class = getattr(view, "view_class", object)
        return (
            not _APPS_FOR_PEOPLE.isdisjoint(match.app_names)
            # AdminSite and ModelAdmin mark their views, wherever they are included.
            or hasattr(view, "admin_site")
            or hasattr(view, "model_admin")
            or (issubclass(view_class, LoginRequiredMixin) and _is_from_toolkit(view_class))
        )

    def _refuse(
        self, request: HttpRequest, refused: Refused, credential: Credential, info: RequestInfo
    ) -> HttpResponse:
        bearer = info if "bearer" in self.schemes else None
        return verification.refusal_response(request, refused, credential.scheme, bearer)

    def _read(self, request: HttpRequest) -> tuple[Credential | None, RequestInfo | None]:
        """Return the credential, if any, and what to check it for, unless the view does."""
        credential = verification.parse_header(request, self.schemes)
        if credential is None:
            return None, None
        match = _resolve(request)
        view = match and match.func
        setattr(request, _CHECKED_FOR, (view, request.method))
        if self.leaves(request, view):
            return credential, None
        for_people = match is not None and self.is_for_people(request, match)
        return credential, RequestInfo(request, view, for_people=for_people)


def _is_from_toolkit(view_class: type[object]) -> bool:
    return any(base.__module__.startswith("oauth2_provider.") for base in view_class.__mro__)


def _resolve(request: HttpRequest) -> ResolverMatch | None:
    path, urlconf = request.path_info, getattr(request, "urlconf", None)
    with suppress(Http404):
        return resolve(path, urlconf)
    with suppress(Http404):
        # CommonMiddleware redirects there, and should also do so for a scoped key.
        if settings.APPEND_SLASH and not path.endswith("/"):
            return resolve(f"{path}/", urlconf)
    return None


def _has_ninja_authentication(request: HttpRequest, view: object) -> bool:
    """Return whether an operation of Django Ninja will answer that reads the header itself."""
    return any(
        request.method in operation.methods and getattr(callback, "openapi_type", "") == "http"
        for operation in verification.ninja_operations(view)
        for callback in operation.auth_callbacks
    )


def _check_view(request: HttpRequest, view: object, args: object, kwargs: object) -> None:
    """Raise an exception if the credential was checked for another view or method."""
    checked_view, checked_method = getattr(request, _CHECKED_FOR, (view, request.method))
    if checked_view is not view or checked_method != request.method:
        raise ImproperlyConfigured(
            "A middleware after TokenAuthenticationMiddleware changes request.method, or the view "
            "of a path (request.urlconf, or the language). Put it before: the credential must be "
            "checked for the method and the view that answer."
        )


async def _acheck_view(request: HttpRequest, view: object, args: object, kwargs: object) -> None:
    _check_view(request, view, args, kwargs)


def _vary(
    request: HttpRequest, credential: Credential | None, response: HttpResponse
) -> HttpResponse:
    """Make caches, including Django's, keep the responses for different keys apart."""
    session = getattr(request, "session", None)
    # If the session was read, the response depends on the user.
    if credential is not None or getattr(session, "accessed", False):
        patch_vary_headers(response, ["Authorization"])
    return response
