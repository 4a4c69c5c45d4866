"""Django Ninja's way in, thin over the one decision.

::

    from frappe_tokens.contrib.ninja import TokenAuth, register
    from ninja import NinjaAPI

    api = register(NinjaAPI(auth=TokenAuth()))


    @api.get("reports", auth=TokenAuth("reports:read"))
    def reports(request): ...
"""

from __future__ import annotations

import asyncio
from typing import Any

from django.http import HttpRequest, HttpResponse

try:
    from ninja import NinjaAPI
    from ninja.errors import HttpError
    from ninja.security.base import AuthBase
except ImportError as error:
    raise ImportError(
        "frappe_tokens.contrib.ninja is for Django Ninja: pip install django-ninja."
    ) from error

from .. import credentials, verification
from ..credentials import Credential
from ..decorators import check_scopes
from ..exceptions import Refused
from ..middleware.admission import admit


class AuthenticationRefused(HttpError):
    """A refused request. :func:`register` has it answered as everywhere; else its status is right.

    Attributes:
        refused: why.
        scheme: that of its header.
    """

    def __init__(self, refused: Refused, scheme: str) -> None:
        super().__init__(refused.reason.status, str(refused.sentence))
        self.refused = refused
        self.scheme = scheme


def register(api: NinjaAPI) -> NinjaAPI:
    """Have ``api`` answer refusals with their ``code`` and headers. Gives ``api`` back."""
    api.add_exception_handler(AuthenticationRefused, _answer)
    return api


class TokenAuth(AuthBase):
    """``auth=TokenAuth()``: the three schemes, for sync and async operations.

    ``request.user`` is then the key's user, and ``request.auth`` the key. Without one of our
    schemes in the header the next one of ``auth=[...]`` is asked. Behind it, none is asked for a
    credential of our schemes: put what knows other Bearer tokens before it.

    Args:
        scopes: those that a scoped key or an access token has to hold, all of them. None close the
            operation to these.

    Attributes:
        schemes: those that it answers. A subclass may have fewer.

    Raises:
        TypeError, ValueError: one of them is no scope.
    """

    openapi_type = "http"
    openapi_scheme = "bearer"
    openapi_bearerFormat = "<api_key>:<api_secret>"  # noqa: N815 - OpenAPI's name
    schemes: tuple[str, ...] = credentials.SCHEMES

    def __init__(self, *scopes: str) -> None:
        check_scopes(scopes)
        super().__init__()
        self.required_scopes = scopes
        # An async operation then calls it in its loop.
        self.is_async = True

    def __call__(self, request: HttpRequest) -> Any:
        """The key, in a coroutine where a loop runs; None where the header is for another.

        Raises:
            AuthenticationRefused: in every other case.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            return self._acall(request)
        credential = self._credential(request)
        if credential is None:
            return None
        try:
            key = verification.verify(credential, verification.RequestInfo(request, self))
        except Refused as refused:
            raise AuthenticationRefused(refused, credential.scheme) from refused
        return _let_in(request, key)

    async def _acall(self, request: HttpRequest) -> Any:
        credential = self._credential(request)
        if credential is None:
            return None
        try:
            key = await verification.averify(credential, verification.RequestInfo(request, self))
        except Refused as refused:
            raise AuthenticationRefused(refused, credential.scheme) from refused
        return _let_in(request, key)

    def _credential(self, request: HttpRequest) -> Credential | None:
        return credentials.parse_any(request.META.get("HTTP_AUTHORIZATION"), self.schemes)


def _let_in(request: HttpRequest, key: Any) -> Any:
    admit(request, key.user, key)
    # Its answers cannot be told here to vary by the header, and Django's cache for a whole site
    # would give one user's to the next. The attribute is Django's own, which the stubs lack.
    request._cache_update_cache = False  # type: ignore[attr-defined]
    return key


def _answer(request: HttpRequest, refused: Any) -> HttpResponse:
    return verification.refusal_response(request, refused.refused, refused.scheme)
