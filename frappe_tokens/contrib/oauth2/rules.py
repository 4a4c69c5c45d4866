"""Rules that are stricter than the toolkit's own, or Frappe's."""

from __future__ import annotations

from urllib.parse import urlsplit

from oauth2_provider import models
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauth2_provider.settings import oauth2_settings
from oauthlib.common import Request

from frappe_tokens.keys import is_application_allowed


class Rules(OAuth2Validator):
    """Comes before the project's ``OAUTH2_VALIDATOR_CLASS``."""

    def is_pkce_required(self, client_id: str, request: Request) -> bool:
        """Also for public clients, which have no other proof that a code is theirs (RFC 9700)."""
        return super().is_pkce_required(client_id, request) or is_public(request.client)

    def validate_response_type(
        self, client_id: str, response_type: str, *args: object, **kwargs: object
    ) -> bool:
        """Refuse everything that puts an access token into a URL (RFC 9700, 2.1.2)."""
        allowed = super().validate_response_type(client_id, response_type, *args, **kwargs)
        return allowed and "token" not in response_type.split()

    def validate_grant_type(
        self, client_id: str, grant_type: str, client: models.AbstractApplication, *args: object
    ) -> bool:
        """Issue no tokens for client credentials that would be refused."""
        allowed = bool(super().validate_grant_type(client_id, grant_type, client, *args))
        if grant_type != "client_credentials" or client.user_id is None:
            return allowed
        return allowed and is_application_allowed(client)

    def validate_silent_login(self, request: Request) -> bool:
        """For ``prompt=none``. If the project's validator doesn't implement it, ask the user."""
        try:
            return bool(super().validate_silent_login(request))
        except NotImplementedError:  # oauthlib's own method raises it
            return False

    def get_oidc_issuer_endpoint(self, request: Request) -> str:
        """Return the site, as in Frappe, and not the URL that the toolkit's are included at."""
        url = urlsplit(super().get_oidc_issuer_endpoint(request))
        return oauth2_settings.OIDC_ISS_ENDPOINT or f"{url.scheme}://{url.netloc}"


class IntrospectionRules(Rules):
    """Only clients with a secret may inspect tokens."""

    def authenticate_client(self, request: Request, *args: object, **kwargs: object) -> bool:
        known = bool(super().authenticate_client(request, *args, **kwargs))
        # A public client may have been stored with the secret "", which anyone can send.
        return known and not is_public(request.client)


def is_public(client: models.AbstractApplication) -> bool:
    """Whether an application can't keep a secret."""
    return bool(client.client_type == models.AbstractApplication.CLIENT_PUBLIC)
