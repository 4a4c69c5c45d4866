"""Django REST framework's way in: one class for each scheme, thin over the one decision."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.utils.translation import get_language
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, ErrorDetail
from rest_framework.request import Request

from . import answers, credentials, verification
from .credentials import Credential
from .exceptions import Reason, Refused
from .verification import RequestFacts, meta_of


class AuthenticationRefused(APIException):
    """The answer to a refused request: ``{"detail": ..., "code": ...}`` with its headers.

    It is no ``AuthenticationFailed``, because DRF answers that with the challenge of the view's
    *first* authentication class, or with 403 where that one has none. This one names the scheme
    that the client used, whatever the order.

    Attributes:
        status_code: 401, 403 or 503.
        reason: the :class:`~frappe_tokens.exceptions.Reason`.
        auth_header: the value of ``WWW-Authenticate``, "" for none.
        wait: seconds for ``Retry-After``, or None.
    """

    def __init__(self, refused: Refused, auth_header: str) -> None:
        reason = refused.reason
        self.status_code = reason.status
        # In place of the base class's, which would translate and wrap the same words each time.
        self.detail = dict(_body(reason, refused.access_token, get_language()))
        self.reason = reason
        self.auth_header = auth_header
        self.wait = answers.retry_after(refused)


@lru_cache(maxsize=1024)
def _body(reason: Reason, access_token: bool, language: str | None) -> dict[str, ErrorDetail]:
    """The answer's body in the present ``language``."""
    sentence = Refused(reason, access_token=access_token).sentence
    return {
        "detail": ErrorDetail(str(sentence), reason.code),
        "code": ErrorDetail(reason.code, reason.code),
    }


class _SchemeAuthentication(BaseAuthentication):
    """What the three classes share. ``scheme`` is the word in the header, in lower case."""

    scheme: str

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """The key's user and the key, or None where the header is for another class.

        For an OAuth 2 access token it is whom that stands for, and the token.

        Raises:
            AuthenticationRefused: in every other case.
        """
        answer = self._answer(request)
        # Refusals raise: they are answers that no cache keeps.
        _vary_on_header(request)
        return answer

    def _answer(self, request: Request) -> tuple[Any, Any] | None:
        credential = credentials.parse(_header(request), self.scheme)
        if credential is None:
            return None
        later = [] if credential.ours else _later_classes(request, self, credential)
        if not later or credential.access_token:
            facts = RequestFacts(request, _view(request))
            try:
                key = verification.verify(credential, facts, leave_unknown=bool(later))
            except Refused as refused:
                raise self.refuse(refused) from refused
            if key is not None:
                return key.user, key
        _leave_to(later, request, self, credential)
        return None

    def authenticate_header(self, request: Request) -> str:
        """The challenge of a 401 for a request without credentials (RFC 9110, section 11.6.1)."""
        return answers.challenge(self.scheme)

    def refuse(self, refused: Refused) -> AuthenticationRefused:
        """The exception to raise for ``refused``, with this scheme's challenge."""
        return AuthenticationRefused(refused, answers.challenge(self.scheme, refused))

    def refuse_unclaimed(self, request: Request, credential: Credential) -> AuthenticationRefused:
        """The exception to raise for a ``credential`` that none of the view's classes claims."""
        facts = RequestFacts(request, _view(request))
        return self.refuse(verification.unclaimed(credential, facts))


class TokenAuthentication(_SchemeAuthentication):
    """``Authorization: token <api_key>:<api_secret>``."""

    scheme = "token"


class BasicAuthentication(_SchemeAuthentication):
    """``Authorization: Basic base64(<api_key>:<api_secret>)`` (RFC 7617)."""

    scheme = "basic"


class BearerAuthentication(_SchemeAuthentication):
    """``Authorization: Bearer <access token>`` (RFC 6750), or ``Bearer <api_key>:<api_secret>``.

    Access tokens are those of an OAuth 2 server that is installed, such as django-oauth-toolkit.
    """

    scheme = "bearer"


class _Unclaimed(BaseAuthentication):
    """Stands behind the last class that a credential was left to, and refuses what comes so far.

    Without it, a credential that no class claimed would pass as anonymous, or as the session's
    user: simplejwt answers "Bearer" but passes over "bearer".
    """

    def __init__(self, authenticator: _SchemeAuthentication) -> None:
        self.authenticator = authenticator

    def authenticate(self, request: Request) -> None:
        credential = credentials.parse(_header(request), self.authenticator.scheme)
        if credential is not None:
            raise self.authenticator.refuse_unclaimed(request, credential)


def _later_classes(
    request: Request, authenticator: _SchemeAuthentication, credential: Credential
) -> list[Any]:
    """Those behind ``authenticator`` in the view that may answer ``credential``."""
    # A pair of nobody's mark may be an imported key, so only a class that names the scheme gets it.
    # What is no pair cannot be ours. A class may answer more schemes than the one that it names.
    any_scheme = not credential.well_formed
    authenticators = getattr(request, "authenticators", None) or ()
    if authenticators and authenticators[-1] is authenticator:
        return []
    asked = iter(authenticators)
    # Goes on to its place, or to the end where another class wraps it, and none is later.
    if not any(other is authenticator for other in asked):
        return []
    return [other for other in asked if _answers(other, authenticator.scheme, any_scheme, request)]


def _leave_to(
    later: list[Any],
    request: Request,
    authenticator: _SchemeAuthentication,
    credential: Credential,
) -> None:
    """Let the ``later`` classes answer, and refuse what none of them claims."""
    authenticators = request.authenticators or ()
    places = {id(other): place for place, other in enumerate(authenticators)}
    last = places[id(later[-1])]
    before_last = authenticators[places[id(authenticator)] + 1 : last]
    if isinstance(authenticators, list) and all(_reads_header(o, request) for o in before_last):
        # The very list that DRF is going through: it meets what is put in behind the present
        # place. A view may keep its list for other requests, so that the guard is there already.
        if not any(
            isinstance(guard, _Unclaimed) and guard.authenticator.scheme == authenticator.scheme
            for guard in authenticators[last + 1 :]
        ):
            authenticators.insert(last + 1, _Unclaimed(authenticator))
        return
    # Before a guard came the session's class, or it cannot be put into a tuple. So they are asked
    # here, and by DRF once more: what they answer must be theirs, as some permissions ask which
    # class it was that answered.
    if all(other.authenticate(request) is None for other in later):
        raise authenticator.refuse_unclaimed(request, credential)


def _reads_header(authenticator: Any, request: Request) -> bool:
    """Whether the Authorization header is for this class: the session's has no challenge."""
    return isinstance(authenticator, _Unclaimed) or bool(authenticator.authenticate_header(request))


def _answers(authenticator: Any, scheme: str, any_scheme: bool, request: Request) -> bool:
    if isinstance(authenticator, _SchemeAuthentication):
        return authenticator.scheme == scheme
    # A class without a challenge reads no header: it is the session's, or such.
    challenge = (authenticator.authenticate_header(request) or "").split()
    return bool(challenge) and (any_scheme or challenge[0].lower() == scheme)


def _vary_on_header(request: Request) -> None:
    """Tell caches, Django's own among them, to keep the answers for different keys apart."""
    headers = getattr(_view(request), "headers", None)
    if headers is not None and "Authorization" not in headers.get("Vary", ""):
        headers["Vary"] = ", ".join(filter(None, (headers.get("Vary"), "Authorization")))


def _view(request: Request) -> Any:
    """The view; None for a request that no view of DRF's has prepared."""
    return (getattr(request, "parser_context", None) or {}).get("view")


def _header(request: Request) -> str | None:
    header: str | None = meta_of(request).get("HTTP_AUTHORIZATION")
    return header
