"""Authentication classes for Django REST framework, one for each scheme."""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from . import credentials, verification
from .credentials import Credential
from .crypto import Secret
from .exceptions import Refused
from .rest_exceptions import challenge_of, refusal, view_of

# Not translated, because RFC 6750, section 3, allows only ASCII.
_WRONG_HEADER = "Send the token in the Authorization header, not in X-Api-Key."


class _SchemeAuthentication(BaseAuthentication):
    """The base of the three classes. ``scheme`` is in lower case."""

    scheme: str

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """Return the user and the API key or access token; None if the header isn't for this class.

        A credential that isn't ours is left to the later classes of the view.

        Raises:
            AuthenticationRefused: the request is refused; with 401 a ``RefusedCredentials``.
        """
        credential = verification.parse_header(request, [self.scheme])
        view = view_of(request)
        result = None if credential is None else self._verify(request, credential, view)
        _vary_on_header(view)
        return result

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge for a request without credentials (RFC 9110, 11.6.1).

        If one of our tokens is in ``X-Api-Key``, the challenge says where it belongs.
        """
        challenge = challenge_of(self.scheme, request)
        if "HTTP_AUTHORIZATION" not in request.META and credentials.is_bare_token(
            Secret(request.META.get("HTTP_X_API_KEY", ""))
        ):
            challenge += f', error_description="{_WRONG_HEADER}"'
        return challenge

    def _verify(self, request: Request, credential: Credential, view: Any) -> tuple[Any, Any]:
        later = [] if credential.ours else self._later_classes(request, credential)
        info = verification.RequestInfo(request, view)
        try:
            if not later or credential.access_token:
                auth = verification.verify(credential, info, leave_unknown=bool(later))
                if auth is not None:
                    return auth.user, auth
        except Refused as refused:
            raise refusal(refused, self.scheme, request) from refused
        # If DRF called them, a class in between, such as the session's, would come first, and a
        # credential that none of them accepts would pass as anonymous.
        for other in later:
            authenticate = other.authenticate
            if iscoroutinefunction(authenticate):
                authenticate = async_to_sync(authenticate)
            answer: tuple[Any, Any] | None = authenticate(request)
            if answer is not None:
                return answer
        raise refusal(verification.unclaimed(credential, info), self.scheme, request)

    def _later_classes(self, request: Request, credential: Credential) -> list[Any]:
        """Return the view's classes after this one that may answer ``credential``."""
        authenticators = list(getattr(request, "authenticators", None) or ())
        if self not in authenticators:
            return []  # another class wraps this one
        later = authenticators[authenticators.index(self) + 1 :]
        # A pair without our prefixes may be an imported key, so only classes with the same scheme
        # get it. Anything else isn't ours, and a class may accept more than its challenge says.
        any_scheme = not credential.well_formed
        return [other for other in later if self._may_answer(other, any_scheme, request)]

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


def _vary_on_header(view: Any) -> None:
    """Make caches keep the responses for different keys apart."""
    headers = getattr(view, "headers", None)
    if headers is None:
        return
    vary = headers.get("Vary", "")
    if "Authorization" not in vary:
        headers["Vary"] = f"{vary}, Authorization" if vary else "Authorization"
