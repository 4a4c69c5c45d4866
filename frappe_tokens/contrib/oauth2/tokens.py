"""Finds the toolkit's tokens. The project's own validator decides whether they are valid."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import TypeAlias

from django.core.exceptions import DisallowedHost
from django.db import router
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.encoding import escape_uri_path
from django.views.decorators.debug import sensitive_variables
from oauth2_provider import models
from oauth2_provider.models import AbstractAccessToken, AbstractRefreshToken
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauth2_provider.settings import oauth2_settings
from oauthlib.common import Request

from frappe_tokens.crypto import Secret
from frappe_tokens.keys import is_application_allowed
from frappe_tokens.types import User
from frappe_tokens.verification import AccessToken

from .registered import may_have

Token: TypeAlias = AbstractAccessToken | AbstractRefreshToken


def find(token: Secret, request: HttpRequest) -> AccessToken | None:
    """Return the access token that was sent; None if the toolkit doesn't know it.

    One SELECT by the token's checksum, whether tokens are hashed or not, also loads the user, the
    application and the application's user. Client credentials need a second SELECT.
    """
    validator = with_mixin(_OneSelect, oauth2_settings.OAUTH2_VALIDATOR_CLASS)()
    oauthlib_request = _oauthlib_request(request)
    valid = validator.validate_bearer_token(token, [], oauthlib_request)
    found = oauthlib_request.access_token if valid else validator.looked_up
    if found is None:
        return None
    scopes = set(found.scope.split())
    expired = found.is_expired()
    may_run = may_run_as_owner(found) and may_have(found.application, scopes)
    uri = oauthlib_request.uri
    return AccessToken(
        auth=found,
        user=_set_user(found) if may_run else None,
        expires_at=found.expires,
        read_only=oauth2_settings.READ_SCOPE in scopes
        and oauth2_settings.WRITE_SCOPE not in scopes,
        # Expiry comes first, as in the toolkit: the audience of an expired token doesn't matter.
        is_valid_here=may_run
        and (valid or expired or not found.resource or found.allows_audience(uri)),
        is_revoked=not valid and not expired,
    )


def checksum(token: str) -> str:
    """Return the ``token_checksum`` of ``token``, by which the toolkit looks tokens up."""
    return hashlib.sha256(token.encode()).hexdigest()


@sensitive_variables()
def find_issued(token: str) -> Token | None:
    """Return the access token or refresh token, valid or not; None if it was never issued."""
    related = {
        models.get_access_token_model(): ("user", "application__user"),
        models.get_refresh_token_model(): ("user", "application__user", "access_token"),
    }
    for model, names in related.items():
        if (found := _issued(model, token).select_related(*names).first()) is not None:
            return found
    return None


def _issued(model: type[Token], token: str) -> QuerySet[Token]:
    """Return the rows for ``token`` from where they are written: a replica may lag behind."""
    rows = model._default_manager.using(router.db_for_write(model))
    of_token: QuerySet[Token] = rows.filter(token_checksum=checksum(token))
    return of_token


def may_run_as_owner(token: Token) -> bool:
    """Return False for client credentials whose application may not run as its user."""
    if token.user_id is not None or token.application is None:
        return True
    return token.application.user_id is None or is_application_allowed(token.application)


def _set_user(token: AbstractAccessToken) -> User | None:
    """Return the token's user. Client credentials have none, and get the application's."""
    if token.user is None and token.application is not None:
        # For code that reads ``request.auth.user``. ``user_id`` stays None, as it is stored.
        state = token._state
        state.fields_cache = _WithOwner(state.fields_cache, token.application.user)
    user: User | None = token.user
    return user


class _WithOwner(dict[str, object]):
    """A token's related objects, with the application's user in place of a missing ``user``.

    That user can be read, but isn't an item: saving the token would store it.
    """

    def __init__(self, related: Mapping[str, object], owner: User | None) -> None:
        super().__init__(related)
        self.pop("user", None)
        self._owner = owner

    def __missing__(self, name: str) -> User | None:
        if name != "user":
            raise KeyError(name)
        return self._owner


class _OneSelect(OAuth2Validator):
    """Comes before the project's validator: one SELECT, whose result is remembered."""

    looked_up: AbstractAccessToken | None = None

    def _load_access_token(self, token: str) -> AbstractAccessToken | None:
        load = super()._load_access_token
        if getattr(load, "__func__", None) is OAuth2Validator._load_access_token:
            rows = _issued(models.get_access_token_model(), token)
            # Unordered, unlike with first(), which would take a quarter of the time.
            rows = rows.select_related("user", "application__user").order_by()
            self.looked_up = next(iter(rows), None)
        else:
            self.looked_up = load(token)  # the project's own lookup
        return self.looked_up


@lru_cache(maxsize=32)
def with_mixin(
    mixin: type[OAuth2Validator], validator: type[OAuth2Validator]
) -> type[OAuth2Validator]:
    """Return the project's ``validator`` with ``mixin`` before it."""
    return type(validator.__name__, (mixin, validator), {})


def _oauthlib_request(request: HttpRequest) -> Request:
    """Build what the toolkit's validators take, without the query string, which they don't read."""
    # Without the token, which a debug page would show.
    headers = {
        name: value
        for name, value in request.META.items()
        if isinstance(value, str) and name != "HTTP_AUTHORIZATION"
    }
    params = {"http_method": request.method or "GET", "body": "", "headers": headers}
    try:
        if {".", ".."} & {*request.path.split("/")}:
            return Request("", **params)  # it isn't clear which resource that is
        # Two slashes would name another host, and a decoded "?" would start a query.
        path = "/" + escape_uri_path(request.path).lstrip("/")
        return Request(request.build_absolute_uri(path), **params)
    except (AttributeError, DisallowedHost, ValueError):
        # A WebSocket's, for example. A token for a certain resource is then refused.
        return Request("", **params)
