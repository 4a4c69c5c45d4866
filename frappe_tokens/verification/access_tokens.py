"""OAuth 2 access tokens as the decision sees them.

The core knows no OAuth 2 server. An installed server registers a function that finds its tokens;
:mod:`frappe_tokens.contrib.oauth2` does this for django-oauth-toolkit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from .. import policy
from ..crypto import Secret
from ..types import User
from . import scopes


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An issued access token, with what the decision reads of an API key.

    Attributes:
        auth: the server's own object, which becomes ``request.auth``. Its ``user`` must be
            ``user``, and :func:`frappe_tokens.verification.opens` must know its scopes.
        user: the user that requests run as, if any.
        expires_at: when it ends; None for never.
        read_only: whether its scopes allow GET, HEAD and OPTIONS only.
        is_valid_here: False if it was issued for another service.
        is_revoked: whether it was revoked, or its application was.
    """

    auth: Any
    user: User | None
    expires_at: datetime | None
    read_only: bool
    is_valid_here: bool
    is_revoked: bool

    # Not for access tokens.
    api_key: ClassVar[str] = ""
    allowed_ips: ClassVar[Collection[str]] = ()
    is_scoped: ClassVar[bool] = True
    is_disabled: ClassVar[bool] = False

    def is_expired(self, now: datetime) -> bool:
        return policy.has_ended(self.expires_at, now)

    def opens(self, required: Collection[str]) -> bool:
        return scopes.opens(self.auth, required)


# Takes the token and Django's request (or an object that resembles it). Returns None for a token
# that the server hasn't issued. May raise a DatabaseError, which is answered with 503.
Finder = Callable[[Secret, HttpRequest], AccessToken | None]

# Takes Django's request, and whether the path is a resource of its own. Returns the URL of the
# metadata that says where tokens come from (RFC 9728), "" if none is served.
MetadataUrl = Callable[[HttpRequest, bool], str]

_finder: Finder | None = None
_metadata_url: MetadataUrl | None = None


def register(finder: Finder | None, metadata_url: MetadataUrl | None = None) -> None:
    """Look access tokens up with ``finder``; None for no server.

    The challenge of views that take Bearer points to ``metadata_url``, if given.
    """
    global _finder, _metadata_url
    _finder, _metadata_url = finder, metadata_url


def are_known() -> bool:
    """Whether a server is installed."""
    return _finder is not None


def find(token: Secret, request: HttpRequest) -> AccessToken | None:
    """Return the token that was sent, by the registered finder; None if it wasn't issued."""
    return _finder(token, request) if _finder is not None else None


def metadata_url(request: HttpRequest, is_resource: bool) -> str:
    """Return the URL of the metadata of a resource; "" if none is served."""
    return _metadata_url(request, is_resource) if _metadata_url is not None else ""


def label(token: Secret) -> str:
    """Return the name under which failures with ``token`` are counted. It doesn't reveal the token.

    It also serves for a secret without its API key.
    """
    digest = salted_hmac("frappe_tokens", token, algorithm="sha256").hexdigest()
    # API keys contain no colon, so this can't be one.
    return f"access-token:{digest[:16]}"
