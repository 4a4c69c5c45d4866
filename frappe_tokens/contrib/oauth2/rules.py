"""Rules that are stricter than the toolkit's own, or Frappe's."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.urls import get_script_prefix
from django.utils.encoding import iri_to_uri
from oauth2_provider.models import AbstractApplication as Application
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauth2_provider.settings import oauth2_settings
from oauthlib.common import Request

from frappe_tokens.keys import is_application_allowed

from .registered import is_unchecked
from .unchecked_rules import UncheckedClientRules


class Rules(UncheckedClientRules):
    """Comes before the project's ``OAUTH2_VALIDATOR_CLASS``."""

    def is_pkce_required(self, client_id: str, request: Request) -> bool:
        """Also for public clients, which have no other proof that a code is theirs (RFC 9700)."""
        return super().is_pkce_required(client_id, request) or is_public(request.client)

    def validate_response_type(
        self,
        client_id: str,
        response_type: str,
        client: Application,
        request: Request,
        *args: object,
        **kwargs: object,
    ) -> bool:
        """Refuse everything that puts an access token, or a code alone, into a fragment.

        See RFC 9700, section 2.1.2.
        """
        if "token" in response_type.split():
            return False
        if response_type == "code" and request.response_mode not in (None, "query"):
            return False
        return super().validate_response_type(
            client_id, response_type, client, request, *args, **kwargs
        )

    def validate_grant_type(
        self, client_id: str, grant_type: str, client: Application, *args: object
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
        except NotImplementedError:  # from oauthlib, if the validator has no method of its own
            return False

    def get_oidc_issuer_endpoint(self, request: Request) -> str:
        """Return the site, as in Frappe, and not the URL that the toolkit's are included at."""
        endpoint = super().get_oidc_issuer_endpoint
        if getattr(endpoint, "__func__", None) is not OAuth2Validator.get_oidc_issuer_endpoint:
            return str(endpoint(request))  # the project's own
        url = urlsplit(endpoint(request))
        # As in well_known.issuer(): build_absolute_uri() quotes the prefix the same way.
        site = iri_to_uri(f"{url.scheme}://{url.netloc}{get_script_prefix()}").rstrip("/")
        return oauth2_settings.OIDC_ISS_ENDPOINT or site


class IntrospectionRules(Rules):
    """Only clients with a secret may inspect tokens."""

    def authenticate_client(self, request: Request, *args: object, **kwargs: object) -> bool:
        known = bool(super().authenticate_client(request, *args, **kwargs))
        # A public client may have been stored with the secret "", which anyone can send. Anyone can
        # also register a confidential one.
        return known and not (is_public(request.client) or is_unchecked(request.client))


def is_public(client: Application) -> bool:
    """Whether an application can't keep a secret."""
    return bool(client.client_type == Application.CLIENT_PUBLIC)
