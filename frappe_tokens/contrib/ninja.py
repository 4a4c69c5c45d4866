"""Authentication for Django Ninja: ``api = register(NinjaAPI(auth=TokenAuth()))``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.http import HttpRequest, HttpResponse

try:
    from ninja import NinjaAPI
    from ninja.errors import HttpError
    from ninja.security.base import AuthBase
except ImportError as error:
    raise ImportError(
        "frappe_tokens.contrib.ninja needs Django Ninja: pip install django-ninja."
    ) from error

from .. import credentials, verification
from ..credentials import Credential
from ..decorators import check_scopes
from ..exceptions import Refused
from ..middleware.admission import admit


class AuthenticationRefused(HttpError):
    """A refused request. Without :func:`register`, the response has no code and no challenge.

    Attributes:
        refused: why.
        scheme: the scheme of its header.
    """

    def __init__(
        self, refused: Refused, scheme: str, bearer: verification.RequestInfo | None = None
    ) -> None:
        super().__init__(refused.reason.status, str(refused.sentence))
        self.refused = refused
        self.scheme = scheme
        self._bearer = bearer

    def response(self, request: HttpRequest) -> HttpResponse:
        """Return the response with its code and headers."""
        return verification.refusal_response(request, self.refused, self.scheme, self._bearer)


def register(api: NinjaAPI) -> NinjaAPI:
    """Make ``api`` answer refusals with their ``code`` and headers, and return it."""

    @api.exception_handler(AuthenticationRefused)
    def answer(request: HttpRequest, error: Any) -> HttpResponse:
        answered: HttpResponse = error.response(request)
        return answered

    return api


class TokenAuth(AuthBase):
    """``auth=TokenAuth()``: the three schemes, for sync and async operations.

    ``request.user`` is then the key's user, and ``request.auth`` the key. The next item of
    ``auth=[...]`` is only called if the header has another scheme or none, so put authentication
    by other Bearer tokens first.

    Args:
        scopes: what a scoped key or an access token needs. If there are none, it is refused.

    Attributes:
        schemes: the schemes that it accepts. A subclass may have fewer.

    Raises:
        TypeError, ValueError: a scope is invalid.
    """

    openapi_type = "http"
    openapi_scheme = "bearer"
    openapi_bearerFormat = "<api_key>:<api_secret>"  # noqa: N815 - Ninja copies openapi_* to the schema by name
    schemes: tuple[str, ...] = credentials.SCHEMES

    def __init__(self, *scopes: str) -> None:
        check_scopes(scopes)
        super().__init__()
        self.required_scopes = scopes
        # So that async operations call it in their event loop.
        self.is_async = True

    def __call__(self, request: HttpRequest) -> object:
        """Return the key (in a coroutine if an event loop runs), or None for other schemes.

        Raises:
            AuthenticationRefused: the key was refused.
        """
        credential = credentials.parse(request.META.get("HTTP_AUTHORIZATION"), *self.schemes)
        if credential is None:
            return None
        info = verification.RequestInfo(request, self)
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            return _aauthenticate(request, credential, info, self._bearer(info))
        with _refusals(credential, self._bearer(info)):
            return _admit(request, verification.verify(credential, info))

    def _bearer(self, info: verification.RequestInfo) -> verification.RequestInfo | None:
        return info if "bearer" in self.schemes else None


async def _aauthenticate(
    request: HttpRequest,
    credential: Credential,
    info: verification.RequestInfo,
    bearer: verification.RequestInfo | None,
) -> object:
    with _refusals(credential, bearer):
        return _admit(request, await verification.averify(credential, info))


@contextmanager
def _refusals(credential: Credential, bearer: verification.RequestInfo | None) -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        raise AuthenticationRefused(refused, credential.scheme, bearer) from refused


def _admit(request: HttpRequest, key: object) -> object:
    admit(request, key)
    # The response can't vary on the header here, so Django's cache for a whole site would serve one
    # user's to the next. UpdateCacheMiddleware reads this attribute. It's private, so the stubs
    # don't have it.
    request._cache_update_cache = False  # type: ignore[attr-defined]
    return key
