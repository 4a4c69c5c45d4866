"""Rules that are stricter than the toolkit's own, or Frappe's."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.http import HttpRequest
from oauth2_provider.cimd import is_cimd_client_id
from oauth2_provider.models import AbstractApplication as Application
from oauth2_provider.models import get_application_model, redirect_to_uri_allowed
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauth2_provider.settings import oauth2_settings
from oauthlib.common import Request
from oauthlib.oauth2 import InvalidRequestError

from frappe_tokens.conf import conf
from frappe_tokens.keys import is_application_allowed
from frappe_tokens.verification import RequestInfo

from .redirects import is_for_anyone
from .registered import allowed_scopes, is_unchecked, seconds_to_wait


class Rules(OAuth2Validator):
    """Comes before the project's ``OAUTH2_VALIDATOR_CLASS``."""

    def is_pkce_required(self, client_id: str, request: Request) -> bool:
        """Also for public clients, which have no other proof that a code is theirs (RFC 9700)."""
        unchecked = is_unchecked(request.client)
        if unchecked and request.code_challenge and request.code_challenge_method != "S256":
            problem = 'Set code_challenge_method to "S256".'
            raise InvalidRequestError(description=problem, request=request)
        required = super().is_pkce_required(client_id, request)
        return required or unchecked or is_public(request.client)

    def validate_redirect_uri(
        self, client_id: str, redirect_uri: str, request: Request, *args: object, **kwargs: object
    ) -> bool:
        """Also check those of a metadata document, which the toolkit stores as they are."""
        if is_unchecked(request.client):
            safe = [uri for uri in request.client.redirect_uris.split() if is_for_anyone(uri)]
            return is_for_anyone(redirect_uri) and bool(redirect_to_uri_allowed(redirect_uri, safe))
        return bool(
            super().validate_redirect_uri(client_id, redirect_uri, request, *args, **kwargs)
        )

    def get_default_redirect_uri(
        self, client_id: str, request: Request, *args: object, **kwargs: object
    ) -> str | None:
        if is_unchecked(request.client):
            return None  # so it must be sent, and is checked as above
        uri: str = super().get_default_redirect_uri(client_id, request, *args, **kwargs)
        return uri

    def get_default_scopes(
        self, client_id: str, request: Request, *args: object, **kwargs: object
    ) -> list[str]:
        if is_unchecked(request.client):
            return list(conf.OAUTH_REGISTRATION_SCOPES)
        return list(super().get_default_scopes(client_id, request, *args, **kwargs))

    def validate_scopes(
        self,
        client_id: str,
        scopes: list[str],
        client: Application,
        request: Request,
        *args: object,
    ) -> bool:
        """Narrow what an unchecked client asks for: most ask for all scopes there are."""
        request.scopes = allowed_scopes(client, scopes)
        some = bool(request.scopes or not scopes)
        return some and super().validate_scopes(client_id, request.scopes, client, request, *args)

    def get_original_scopes(
        self, refresh_token: str, request: Request, *args: object, **kwargs: object
    ) -> list[str]:
        granted = super().get_original_scopes(refresh_token, request, *args, **kwargs)
        scopes = granted.split() if isinstance(granted, str) else granted
        return allowed_scopes(request.client, scopes)

    def is_within_original_scope(
        self, request_scopes: list[str], refresh_token: str, request: Request, *args: object
    ) -> bool:
        """Let an unchecked client ask again for what it asked for, and give what it was given."""
        if not is_unchecked(request.client):
            return bool(
                super().is_within_original_scope(request_scopes, refresh_token, request, *args)
            )
        granted = self.get_original_scopes(refresh_token, request)
        request.scopes = [scope for scope in request_scopes if scope in granted]
        return bool(request.scopes)

    def _load_application(self, client_id: str, request: Request) -> Application | None:
        """Limit how many metadata documents are fetched."""
        if oauth2_settings.CIMD_ENABLED and not request.client and is_cimd_client_id(client_id):
            known = get_application_model()._default_manager.filter(client_id=client_id).exists()
            django_request = HttpRequest()
            django_request.META = request.headers
            if not known and seconds_to_wait(RequestInfo(django_request)) is not None:
                return None
        return super()._load_application(client_id, request)

    def validate_response_type(
        self, client_id: str, response_type: str, *args: object, **kwargs: object
    ) -> bool:
        """Refuse everything that puts an access token into a URL (RFC 9700, 2.1.2)."""
        allowed = super().validate_response_type(client_id, response_type, *args, **kwargs)
        return allowed and "token" not in response_type.split()

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


def is_public(client: Application) -> bool:
    """Whether an application can't keep a secret."""
    return bool(client.client_type == Application.CLIENT_PUBLIC)
