"""What is stricter, or Frappe's, in the decisions of the toolkit's own validators."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from oauth2_provider.models import (
    AbstractApplication,
    get_access_token_model,
    get_refresh_token_model,
    revoke_access_token,
)
from oauth2_provider.settings import oauth2_settings

from frappe_tokens.keys import is_application_allowed

# For the type checker a subclass; at run time it comes before whichever class the project has.
if TYPE_CHECKING:
    from oauth2_provider.oauth2_validators import OAuth2Validator as _Base
else:
    _Base = object


class Rules(_Base):
    """Stands before the project's ``OAUTH2_VALIDATOR_CLASS``."""

    def is_pkce_required(self, client_id: str, request: Any) -> bool:
        """A public client has no other proof that the code is its own (RFC 9700, 2.1.1)."""
        required: bool = super().is_pkce_required(client_id, request)
        return required or is_public(request.client)

    def validate_response_type(
        self, client_id: str, response_type: str, *args: Any, **kwargs: Any
    ) -> bool:
        """Nothing that puts an access token into an address (RFC 9700, 2.1.2)."""
        allowed: bool = super().validate_response_type(client_id, response_type, *args, **kwargs)
        return allowed and "token" not in response_type.split()

    def validate_grant_type(
        self, client_id: str, grant_type: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        """No token for client credentials that would be refused, so that the client learns why."""
        allowed: bool = super().validate_grant_type(
            client_id, grant_type, client, request, *args, **kwargs
        )
        if grant_type != "client_credentials" or request.client.user_id is None:
            return allowed
        return allowed and is_application_allowed(request.client)

    def validate_silent_login(self, request: Any) -> bool:
        """For ``prompt=none``. Where nobody implements it, as in the toolkit, the user is asked."""
        try:
            silent: bool = super().validate_silent_login(request)
        except NotImplementedError:
            return False
        return silent

    def get_oidc_issuer_endpoint(self, request: Any) -> str:
        """The site, as in Frappe, and not the place that the addresses are included at."""
        named: str = super().get_oidc_issuer_endpoint(request)
        return oauth2_settings.OIDC_ISS_ENDPOINT or "{0.scheme}://{0.netloc}".format(
            urlsplit(named)
        )


class RevocationRules(Rules):
    """Whoever holds a token may end it, without saying by which client, as in Frappe."""

    def client_authentication_required(self, request: Any, *args: Any, **kwargs: Any) -> bool:
        if self._is_anonymous(request):
            request.client = _client_of(request.token)
            return False
        required: bool = super().client_authentication_required(request, *args, **kwargs)
        return required

    def authenticate_client_id(
        self, client_id: str, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        if self._is_anonymous(request):
            return True
        allowed: bool = super().authenticate_client_id(client_id, request, *args, **kwargs)
        return allowed

    def revoke_token(
        self, token: str, token_type_hint: str, request: Any, *args: Any, **kwargs: Any
    ) -> None:
        if self._is_anonymous(request) and request.client is None:
            # Of no application, and so of nobody to the toolkit.
            issued = get_access_token_model()._default_manager
            for found in issued.filter(token_checksum=_checksum(token), application=None):
                revoke_access_token(found)
            return
        super().revoke_token(token, token_type_hint, request, *args, **kwargs)

    def _is_anonymous(self, request: Any) -> bool:
        return not (request.client_id or request.headers.get("HTTP_AUTHORIZATION"))


class IntrospectionRules(Rules):
    """Only a client with a secret learns what a token is."""

    def authenticate_client(self, request: Any, *args: Any, **kwargs: Any) -> bool:
        known: bool = super().authenticate_client(request, *args, **kwargs)
        # A public client may have been stored with the secret "", which anyone can send.
        return known and not is_public(request.client)


def is_public(client: Any) -> bool:
    """Whether an application can keep no secret."""
    return bool(client.client_type == AbstractApplication.CLIENT_PUBLIC)


@lru_cache(maxsize=32)
def with_rules(rules: Any, configured: Any) -> type[Any]:
    """The project's validator with ``rules`` before it."""
    return type(configured.__name__, (rules, configured), {})


def _client_of(token: str) -> Any:
    """The application that a token was issued to; None where nobody issued it."""
    for model in (get_access_token_model(), get_refresh_token_model()):
        issued = model._default_manager.select_related("application")
        if (found := issued.filter(token_checksum=_checksum(token)).first()) is not None:
            return found.application
    return None


def _checksum(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
