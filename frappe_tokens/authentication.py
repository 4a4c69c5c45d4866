"""Authentication classes for Django REST framework, one for each scheme."""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from . import credentials, verification
from .credentials import Credential
from .exceptions import Refused
from .rest_exceptions import refusal


class _SchemeAuthentication(BaseAuthentication):
    """What the three classes share. ``scheme`` is the scheme in lower case."""

    scheme: str

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """Return the user and the API key or access token; None if another class must answer.

        Raises:
            AuthenticationRefused: in all other cases.
        """
        credential = credentials.parse(_header(request), self.scheme)
        result = None
        if credential is not None:
            later = [] if credential.ours else self._later_classes(request, credential)
            result = self._verify(request, credential, later)
        _vary_on_header(request)
        return result

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge for a request without credentials (RFC 9110, section 11.6.1)."""
        return verification.challenge(self.scheme)

    def _verify(
        self, request: Request, credential: Credential, later: list[Any]
    ) -> tuple[Any, Any] | None:
        info = verification.RequestInfo(request, _view(request))
        try:
            if not later or credential.access_token:
                auth = verification.verify(credential, info, leave_unknown=bool(later))
                if auth is not None:
                    return auth.user, auth
        except Refused as refused:
            raise refusal(refused, self.scheme) from refused
        # DRF asks the later classes again, so that ``successful_authenticator`` is the right one.
        # If this asked none of them, a credential that none of them takes would pass as anonymous,
        # or as the user of a session: simplejwt answers "Bearer", but ignores "bearer".
        if all(_answer(other, request) is None for other in later):
            raise refusal(verification.unclaimed(credential, info), self.scheme)
        return None

    def _later_classes(self, request: Request, credential: Credential) -> list[Any]:
        """Return the view's classes after this one that may answer ``credential``."""
        authenticators = list(getattr(request, "authenticators", None) or ())
        if authenticators and authenticators[-1] is self:
            return []
        # If another class wraps this one, it isn't in the list, and no class comes later.
        place = next((n for n, other in enumerate(authenticators) if other is self), None)
        if place is None:
            return []
        # A pair without our prefixes may be an imported key, so only classes with the same scheme
        # may have it. Anything else isn't ours, and a class may take more than its challenge says.
        any_scheme = not credential.well_formed
        return [o for o in authenticators[place + 1 :] if self._may_answer(o, any_scheme, request)]

    def _may_answer(self, other: Any, any_scheme: bool, request: Request) -> bool:
        if isinstance(other, _SchemeAuthentication):
            return other.scheme == self.scheme
        # A class without a challenge, such as DRF's SessionAuthentication, doesn't read the header.
        challenge = (other.authenticate_header(request) or "").split()
        return bool(challenge) and (any_scheme or challenge[0].lower() == self.scheme)


class TokenAuthentication(_SchemeAuthentication):
    """``Authorization: token <api_key>:<api_secret>``."""

    scheme = "token"


class BasicAuthentication(_SchemeAuthentication):
    """``Authorization: Basic base64(<api_key>:<api_secret>)`` (RFC 7617)."""

    scheme = "basic"


class BearerAuthentication(_SchemeAuthentication):
    """``Authorization: Bearer <access token>`` (RFC 6750), or ``Bearer <api_key>:<api_secret>``.

    Access tokens come from an installed OAuth 2 server, such as django-oauth-toolkit.
    """

    scheme = "bearer"


def _answer(other: Any, request: Request) -> Any:
    """Return what another class answers, also an async one: its coroutine is no answer yet."""
    if iscoroutinefunction(other.authenticate):
        return async_to_sync(other.authenticate)(request)
    return other.authenticate(request)


def _vary_on_header(request: Request) -> None:
    """Have caches keep the responses for different keys apart."""
    headers = getattr(_view(request), "headers", None)
    if headers is not None and "Authorization" not in headers.get("Vary", ""):
        headers["Vary"] = ", ".join(filter(None, (headers.get("Vary"), "Authorization")))


def _view(request: Request) -> Any:
    """Return the view; None for a request that no DRF view has prepared."""
    return (getattr(request, "parser_context", None) or {}).get("view")


def _header(request: Request) -> str | None:
    header: str | None = verification.meta_of(request).get("HTTP_AUTHORIZATION")
    return header
