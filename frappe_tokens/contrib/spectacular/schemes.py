"""The three schemes, as OpenAPI's security schemes."""

from __future__ import annotations

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.settings import spectacular_settings
from rest_framework.views import APIView

from ... import policy


class SecurityRequirement(dict[str, list[str]]):
    """A security requirement for one of our schemes, with its operation.

    Attributes:
        view: the operation's view.
        scopes: what a scoped key or an access token needs for it.
    """

    def __init__(self, name: str, view: APIView, scopes: tuple[str, ...]) -> None:
        # OpenAPI 3.0 only allows scopes for OAuth 2 and OpenID Connect.
        has_scopes: bool = spectacular_settings.OAS_VERSION >= "3.1"
        super().__init__({name: list(scopes) if has_scopes else []})
        self.view = view
        self.scopes = scopes


class _Scheme(OpenApiAuthenticationExtension):
    match_subclasses = True
    name: str
    definition: dict[str, str]

    def get_security_requirement(self, auto_schema: AutoSchema) -> SecurityRequirement:
        view: APIView = auto_schema.view
        scopes = policy.required_scopes(view, str(auto_schema.method))
        return SecurityRequirement(self.name, view, scopes)

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return dict(self.definition)


class TokenScheme(_Scheme):
    target_class = "frappe_tokens.authentication.TokenAuthentication"
    name = "apiKeyToken"
    # Not the type "http": tools don't know this HTTP scheme, and would omit the header.
    definition = {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "The word `token`, a space, and `<api_key>:<api_secret>`.",
    }


class BasicScheme(_Scheme):
    target_class = "frappe_tokens.authentication.BasicAuthentication"
    name = "apiKeyBasic"
    definition = {
        "type": "http",
        "scheme": "basic",
        "description": "The API key as the username, the API secret as the password.",
    }


class BearerScheme(_Scheme):
    target_class = "frappe_tokens.authentication.BearerAuthentication"
    name = "apiKeyBearer"
    definition = {
        "type": "http",
        "scheme": "bearer",
        "description": (
            "`<api_key>:<api_secret>`, or an OAuth 2 access token if the server issues them."
        ),
    }
