"""Rules for clients that no administrator has checked. They are stricter than the project's own."""

from __future__ import annotations

import hashlib

from django.core.cache import cache
from django.http import HttpRequest
from oauth2_provider.cimd import BACKOFF_CACHE_PREFIX, is_cimd_client_id
from oauth2_provider.models import AbstractApplication as Application
from oauth2_provider.models import get_application_model, redirect_to_uri_allowed
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauth2_provider.settings import oauth2_settings
from oauthlib.common import Request
from oauthlib.oauth2 import InvalidRequestError

from frappe_tokens.verification import RequestInfo

from .redirects import is_safe
from .registered import allowed_scopes, is_unchecked, record_use
from .registration_limit import count_registration

# On oauthlib's request, which loads a client several times.
_COUNTED = "_frappe_tokens_counted"


class UncheckedClientRules(OAuth2Validator):
    """The authorization code flow only, with PKCE, safe redirect URIs and declared scopes."""

    def is_pkce_required(self, client_id: str, request: Request) -> bool:
        if not is_unchecked(request.client):
            return bool(super().is_pkce_required(client_id, request))
        if request.code_challenge and request.code_challenge_method != "S256":
            problem = 'Set code_challenge_method to "S256".'
            raise InvalidRequestError(description=problem, request=request)
        return True

    def validate_response_type(
        self,
        client_id: str,
        response_type: str,
        client: Application,
        request: Request,
        *args: object,
        **kwargs: object,
    ) -> bool:
        allowed = bool(
            super().validate_response_type(
                client_id, response_type, client, request, *args, **kwargs
            )
        )
        return allowed and (response_type == "code" or not is_unchecked(client))

    def validate_redirect_uri(
        self, client_id: str, redirect_uri: str, request: Request, *args: object, **kwargs: object
    ) -> bool:
        """Also check those of a metadata document, which the toolkit stores as they are."""
        allowed = super().validate_redirect_uri(client_id, redirect_uri, request, *args, **kwargs)
        if not (allowed and is_unchecked(request.client)):
            return bool(allowed)
        # Otherwise a wildcard, which the project may allow, would match it.
        safe = [uri for uri in request.client.redirect_uris.split() if is_safe(uri)]
        return is_safe(redirect_uri) and bool(redirect_to_uri_allowed(redirect_uri, safe))

    def get_default_redirect_uri(
        self, client_id: str, request: Request, *args: object, **kwargs: object
    ) -> str | None:
        """Return the only redirect URI of the client; None if it isn't safe."""
        uri: str = super().get_default_redirect_uri(client_id, request, *args, **kwargs)
        return uri if is_safe(uri) or not is_unchecked(request.client) else None

    def get_default_scopes(
        self, client_id: str, request: Request, *args: object, **kwargs: object
    ) -> list[str]:
        """Return the project's default scopes, if the client may have them."""
        scopes = super().get_default_scopes(client_id, request, *args, **kwargs)
        return allowed_scopes(request.client, scopes)

    def validate_scopes(
        self,
        client_id: str,
        scopes: list[str],
        client: Application,
        request: Request,
        *args: object,
    ) -> bool:
        """Narrow what the client asks for: most ask for all scopes there are."""
        if is_unchecked(client):
            scopes = request.scopes = allowed_scopes(client, scopes)
            if not scopes:
                return False
        return bool(super().validate_scopes(client_id, scopes, client, request, *args))

    def validate_code(
        self, client_id: str, code: str, client: Application, request: Request, *args: object
    ) -> bool:
        """Check again a code that the toolkit's own page may have issued."""
        valid = bool(super().validate_code(client_id, code, client, request, *args))
        if not (valid and is_unchecked(client)):
            return valid
        request.scopes = allowed_scopes(client, request.scopes)
        return bool(request.scopes) and self.get_code_challenge_method(code, request) == "S256"

    def validate_refresh_token(
        self, refresh_token: str, client: Application, request: Request, *args: object
    ) -> bool:
        """Refuse one if the client may no longer have any of its scopes."""
        valid = bool(super().validate_refresh_token(refresh_token, client, request, *args))
        if not (valid and is_unchecked(client)):
            return valid
        return bool(self.get_original_scopes(refresh_token, request))

    def get_original_scopes(
        self, refresh_token: str, request: Request, *args: object, **kwargs: object
    ) -> list[str]:
        """Return the granted scopes that the client may still have."""
        granted = super().get_original_scopes(refresh_token, request, *args, **kwargs)
        scopes = granted.split() if isinstance(granted, str) else granted
        return allowed_scopes(request.client, scopes)

    def is_within_original_scope(
        self, request_scopes: list[str], refresh_token: str, request: Request, *args: object
    ) -> bool:
        """Let a refresh repeat the original request. It gets only what was granted."""
        if is_unchecked(request.client):
            granted = self.get_original_scopes(refresh_token, request)
            request.scopes = [scope for scope in request_scopes if scope in granted]
            return bool(request.scopes)
        within = super().is_within_original_scope(request_scopes, refresh_token, request, *args)
        return bool(within)

    def save_bearer_token(
        self, token: dict[str, object], request: Request, *args: object, **kwargs: object
    ) -> object:
        """Record that the client is in use."""
        saved: object = super().save_bearer_token(token, request, *args, **kwargs)
        if is_unchecked(request.client):
            record_use(request.client)
        return saved

    def finalize_id_token(
        self, id_token: dict[str, object], token: object, handler: object, request: Request
    ) -> str:
        """Sign with the site's key, since there is no one to choose how."""
        client = request.client
        if is_unchecked(client) and not client.algorithm and oauth2_settings.OIDC_RSA_PRIVATE_KEY:
            client.algorithm = Application.RS256_ALGORITHM
            client.save(update_fields=["algorithm"])  # the toolkit loads it again
        signed: str = super().finalize_id_token(id_token, token, handler, request)
        return signed

    def _load_application(self, client_id: str, request: Request) -> Application | None:
        """Limit how many metadata documents are fetched."""
        if not (request.client or _may_fetch(client_id, request)):
            return None
        application = super()._load_application(client_id, request)
        if application is not None and application.client_id != client_id:
            # Some databases ignore case, but another case is another document.
            application = request.client = None
        return application


def _may_fetch(client_id: str, request: Request) -> bool:
    """Count a document that is fetched for the first time. Return False if it is one too many."""
    if not (oauth2_settings.CIMD_ENABLED and is_cimd_client_id(client_id)):
        return True
    backoff = BACKOFF_CACHE_PREFIX + hashlib.sha256(client_id.encode()).hexdigest()
    known = get_application_model()._default_manager.filter(client_id=client_id).exists()
    if known or getattr(request, _COUNTED, False) or cache.get(backoff):
        return True  # nothing is fetched, or it has been counted
    setattr(request, _COUNTED, True)
    django_request = HttpRequest()
    django_request.META = request.headers
    return count_registration(RequestInfo(django_request)) is None
