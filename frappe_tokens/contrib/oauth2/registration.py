"""``register_client``: a client registers itself (RFC 7591), with Frappe's answers.

The toolkit's own view would issue a token for managing the registration, needs its URLs for that,
and refuses the redirect URIs of programs on a user's device.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.debug import sensitive_variables
from oauth2_provider.models import AbstractApplication as Application
from oauth2_provider.models import get_application_model
from oauth2_provider.scopes import get_scopes_backend

from frappe_tokens.conf import conf
from frappe_tokens.verification import RequestInfo

from .answering import FOR_CLIENTS
from .redirects import is_safe
from .registered import allowed_scopes
from .registration_limit import count_registration

REDIRECT_URIS_MAX = 10
TEXT_MAX_LENGTH = 255

_METHODS = {
    "none": Application.CLIENT_PUBLIC,
    "client_secret_basic": Application.CLIENT_CONFIDENTIAL,
    "client_secret_post": Application.CLIENT_CONFIDENTIAL,
}
_GRANT_TYPES = {"authorization_code", "refresh_token"}

# Returned as they were sent, as in Frappe, but neither stored nor shown to users.
_DESCRIPTIONS = (
    *("client_uri", "logo_uri", "tos_uri", "policy_uri"),
    *("software_id", "software_version"),
)


class InvalidMetadata(Exception):
    """A client can't be registered with this metadata. The message says why."""


@method_decorator(FOR_CLIENTS, name="dispatch")
class RegisterClient(View):
    """Registers a client for the authorization code flow, with PKCE.

    It is public unless it asks for a secret, and never has a user of its own.
    """

    http_method_names = ["post", "options"]

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        if not conf.OAUTH_DYNAMIC_REGISTRATION:
            return JsonResponse({"error": "not_found"}, status=404)
        return super().dispatch(request, *args, **kwargs)

    @sensitive_variables()
    def post(self, request: HttpRequest) -> JsonResponse:
        try:
            metadata = _parse(request)
            application = build_application(metadata)
            extra = _extra(application, metadata)
        except InvalidMetadata as error:
            content: dict[str, object] = {
                "error": "invalid_client_metadata",
                "error_description": str(error),
            }
            return JsonResponse(content, status=400)
        if (seconds := count_registration(RequestInfo(request))) is not None:
            content = {
                "error": "temporarily_unavailable",
                "error_description": f"Too many clients were registered. Wait {seconds} seconds.",
            }
            return JsonResponse(content, status=429, headers={"Retry-After": str(seconds)})
        client_secret = application.client_secret  # now or never: saving hashes it
        application.save()
        content = _describe(application) | extra
        if application.client_type == Application.CLIENT_CONFIDENTIAL:
            content["client_secret"] = client_secret
        return JsonResponse(content, status=201)


def build_application(metadata: Mapping[str, object]) -> Application:
    """Return the application, not saved yet, that a client's ``metadata`` describes.

    Raises:
        InvalidMetadata: it is invalid, or asks for more than such clients may have.
    """
    grant_types = _strings(metadata, "grant_types", ["authorization_code"])
    if "authorization_code" not in grant_types or not _GRANT_TYPES.issuperset(grant_types):
        raise InvalidMetadata(
            'grant_types must have "authorization_code", and may have "refresh_token".'
        )
    if _strings(metadata, "response_types", ["code"]) != ["code"]:
        raise InvalidMetadata('response_types must be ["code"].')
    method = metadata.get("token_endpoint_auth_method") or "none"
    if not isinstance(method, str) or method not in _METHODS:
        raise InvalidMetadata(f"token_endpoint_auth_method must be one of {', '.join(_METHODS)}.")
    application: Application = get_application_model()(
        name=_text(metadata, "client_name").strip(),
        client_type=_METHODS[method],
        authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
        redirect_uris=" ".join(_redirect_uris(metadata)),
        registration_source=Application.RegistrationSource.DCR,
    )
    try:
        application.full_clean()
    except ValidationError as error:
        raise InvalidMetadata(" ".join(error.messages)) from None
    return application


def _redirect_uris(metadata: Mapping[str, object]) -> list[str]:
    uris = _strings(metadata, "redirect_uris", [])
    if not 1 <= len(uris) <= REDIRECT_URIS_MAX:
        raise InvalidMetadata(f"redirect_uris must have 1 to {REDIRECT_URIS_MAX} addresses.")
    for uri in uris:
        if not is_safe(uri):
            raise InvalidMetadata(
                f"{uri[:TEXT_MAX_LENGTH]!r} can't be a redirect URI. Use https://, "
                "http://127.0.0.1 or a scheme such as com.example.app, without a fragment, a "
                "wildcard or a user name."
            )
    return uris


def _extra(application: Application, metadata: Mapping[str, object]) -> dict[str, object]:
    """Return what is in the response, but not stored."""
    requested = _text(metadata, "scope", None).split()
    offered = get_scopes_backend().get_available_scopes(application=application)
    scopes = allowed_scopes(application, requested or offered)
    return {
        "token_endpoint_auth_method": metadata.get("token_endpoint_auth_method") or "none",
        "scope": " ".join(scopes),
        **{name: text for name in _DESCRIPTIONS if (text := _text(metadata, name))},
    }


def _describe(application: Application) -> dict[str, object]:
    return {
        "client_id": application.client_id,
        "client_id_issued_at": int(application.created.timestamp()),
        "client_secret_expires_at": 0,  # nosec B105 # not a secret; 0 is never
        "client_name": application.name,
        "redirect_uris": application.redirect_uris.split(),
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
    }


def _parse(request: HttpRequest) -> Mapping[str, object]:
    if request.content_type != "application/json":
        # Any page on the internet can make its visitors' browsers send other types.
        raise InvalidMetadata("Send the client's metadata with Content-Type: application/json.")
    try:
        metadata = json.loads(request.body)
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise InvalidMetadata("Send the client's metadata as a JSON object.")
    return metadata


def _strings(metadata: Mapping[str, object], name: str, default: list[str]) -> list[str]:
    values = metadata.get(name)
    if values is None:
        return default
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InvalidMetadata(f"{name} must be a list of strings.")
    return values


def _text(
    metadata: Mapping[str, object], name: str, max_length: int | None = TEXT_MAX_LENGTH
) -> str:
    text = metadata.get(name) or ""
    if not isinstance(text, str) or not text.isprintable():
        raise InvalidMetadata(f"{name} must be a string of printable characters.")
    if max_length is not None and len(text) > max_length:
        raise InvalidMetadata(f"{name} must have at most {max_length} characters.")
    return text
