"""OAuth 2 access tokens as the decision sees them, whoever issued them.

The core knows no OAuth 2 server. One that is installed registers who finds its tokens
(:mod:`frappe_tokens.contrib.oauth2` does for django-oauth-toolkit).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.crypto import salted_hmac

from . import policy
from .crypto import Secret


@dataclass(frozen=True, slots=True)
class FoundToken:
    """An access token that somebody issued, with what the decision asks of a key.

    Attributes:
        instance: the server's own object, which becomes ``request.auth``. Its ``user`` must be
            ``user``, and :func:`frappe_tokens.scopes.opens` must know its scopes.
        user: whom the requests run as; None for nobody.
        expires_at: when it ends; None for never.
        read_only: its scopes let it use GET, HEAD and OPTIONS only.
        is_valid_here: False where it was issued for another service than this one.
        is_revoked: it was, or whoever it was issued to was.
    """

    instance: Any
    user: Any
    expires_at: datetime | None
    read_only: bool = False
    is_valid_here: bool = True
    is_revoked: bool = False

    # As a key has them. A token is of no key and of no address.
    @property
    def api_key(self) -> str:
        return ""

    @property
    def allowed_ips(self) -> tuple[str, ...]:
        return ()

    def is_expired(self, now: datetime) -> bool:
        return policy.has_ended(self.expires_at, now)


# What is sent, and Django's request with it (or what is like one) -> the token; None where nobody
# issued it. It may raise a DatabaseError, for which the request gets 503.
Finder = Callable[[Secret, Any], FoundToken | None]

_finder: Finder | None = None


def register(finder: Finder | None) -> None:
    """Have ``finder`` asked for access tokens, in place of the one before; None for nobody."""
    global _finder
    _finder = finder


def are_known() -> bool:
    """Whether there is anybody who may have issued one."""
    return _finder is not None


def find(token: Secret, request: Any) -> FoundToken | None:
    """The token that was sent; None where nobody issued it.

    Args:
        token: as it was sent.
        request: Django's, or what is like one.

    Raises:
        django.db.DatabaseError: if the database does not answer.
    """
    return _finder(token, request) if _finder is not None else None


def label(token: Secret) -> str:
    """What failures with ``token`` are counted by. It says nothing of the token to anybody else.

    It is no API key either: they have no colon.
    """
    return f"access-token:{salted_hmac(__name__, token, algorithm='sha256').hexdigest()[:16]}"
