"""Finding the toolkit's access tokens, by the toolkit's own judgement of them."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.core.exceptions import DisallowedHost
from django.utils.encoding import escape_uri_path
from oauth2_provider.models import get_access_token_model
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauth2_provider.settings import oauth2_settings
from oauthlib.common import Request

from frappe_tokens.crypto import Secret
from frappe_tokens.keys import is_application_allowed
from frappe_tokens.verification import AccessToken


def find(token: Secret, request: Any) -> AccessToken | None:
    """The access token that was sent; None where the toolkit has not issued it, or not any more.

    Whether it is valid says the project's ``OAUTH2_VALIDATOR_CLASS``, whatever the settings for
    hashing are: tokens are found by their checksum. What its application may no longer use, or was
    issued for another resource (RFC 8707), is refused as there. One SELECT brings the token, its
    user and its application with the owner; for client credentials a second one asks whether they
    may run as that owner.

    Args:
        token: as it was sent.
        request: Django's, or what is like one.

    Raises:
        django.db.DatabaseError: if the database does not answer.
    """
    validator = _validator_class(oauth2_settings.OAUTH2_VALIDATOR_CLASS)()
    asked = _oauthlib_request(request)
    valid = validator.validate_bearer_token(token, [], asked)
    found = asked.access_token if valid else validator.looked_up
    if found is None:
        return None
    scopes = set(found.scope.split())
    expired = found.is_expired()
    may_run = may_run_as_owner(found)
    return AccessToken(
        auth=found,
        user=_runs_as(found) if may_run else None,
        expires_at=found.expires,
        read_only=oauth2_settings.READ_SCOPE in scopes
        and oauth2_settings.WRITE_SCOPE not in scopes,
        # Neither is of any interest for what has expired, and the toolkit asks in this order too.
        is_valid_here=may_run and (valid or expired or not _is_for_another(found, asked.uri)),
        is_revoked=not valid and not expired,
    )


def may_run_as_owner(issued: Any) -> bool:
    """False for client credentials whose application may not run as the user that it has."""
    owned = issued.user_id is None and issued.application is not None
    return (
        not owned
        or issued.application.user_id is None
        or is_application_allowed(issued.application)
    )


def _runs_as(found: Any) -> Any:
    """The user of an access token; of client credentials, which stand for none, the owner."""
    if found.user is None and found.application is not None:
        # Read like this by whoever asks the token. ``user_id`` stays None, as it is stored.
        state = found._state
        state.fields_cache = _WithOwner(state.fields_cache, found.application.user)
    return found.user


class _WithOwner(dict[str, Any]):
    """A token's related objects, and the owner where it has no ``user``.

    The owner is read and not contained: saving the token would store what is.
    """

    def __init__(self, related: dict[str, Any], owner: Any) -> None:
        super().__init__(related)
        self.pop("user", None)
        self._owner = owner

    def __missing__(self, name: str) -> Any:
        if name != "user":
            raise KeyError(name)
        return self._owner


def _is_for_another(found: Any, uri: str) -> bool:
    return bool(found.resource) and not found.allows_audience(uri)


# For the type checker a subclass; at run time it comes before whichever class the project has.
if TYPE_CHECKING:
    from oauth2_provider.oauth2_validators import OAuth2Validator as _Base
else:
    _Base = object


class _OneSelect(_Base):
    """Brings the application's owner as well, and remembers what was looked up."""

    looked_up: Any = None

    def _load_access_token(self, token: str) -> Any:
        # A project's own way of looking them up has precedence.
        if type(self)._own_lookup:
            self.looked_up = super()._load_access_token(token)
        else:
            checksum = hashlib.sha256(token.encode()).hexdigest()
            tokens = get_access_token_model()._default_manager
            tokens = tokens.select_related("user", "application__user").order_by()
            # There is one at the most. To order them for first() takes a quarter of the time.
            self.looked_up = next(iter(tokens.filter(token_checksum=checksum)), None)
        return self.looked_up

    _own_lookup = False


@lru_cache(maxsize=8)
def _validator_class(configured: type[Any]) -> type[Any]:
    own = configured._load_access_token is not OAuth2Validator._load_access_token
    return type(configured.__name__, (_OneSelect, configured), {"_own_lookup": own})


def _oauthlib_request(request: Any) -> Request:
    """What the toolkit's validators are given, without the query, of which nothing is read."""
    # Without the token, which a debug page would show.
    headers = {
        name: value
        for name, value in request.META.items()
        if isinstance(value, str) and name != "HTTP_AUTHORIZATION"
    }
    sent = {"http_method": request.method or "GET", "body": "", "headers": headers}
    try:
        # Two slashes would name another host, and a decoded "?" begin a query.
        path = "/" + escape_uri_path(request.path).lstrip("/")
        return Request(request.build_absolute_uri(path), **sent)
    except (AttributeError, DisallowedHost, ValueError):
        # Such as a WebSocket's: a token that is for one address is for none then.
        return Request("", **sent)
