"""The three schemes, as OpenAPI's security schemes."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.settings import spectacular_settings

from ... import policy


class SecurityRequirement(dict[str, list[str]]):
    """One of ours, which knows the operation that it stands at.

    Attributes:
        view: the operation's view.
        scopes: those that a scoped key or an access token has to hold for it.
    """

    def __init__(self, name: str, view: Any, scopes: tuple[str, ...]) -> None:
        # OpenAPI 3.0 allows scopes for OAuth 2 and OpenID Connect alone.
        later: bool = spectacular_settings.OAS_VERSION >= "3.1"
        super().__init__({name: list(scopes) if later else []})
        self.view = view
        self.scopes = scopes


class _Scheme(OpenApiAuthenticationExtension):
    match_subclasses = True
    name: str
    definition: dict[str, str]

    def get_security_requirement(self, auto_schema: AutoSchema) -> SecurityRequirement:
        view: Any = auto_schema.view
        scopes = policy.required_scopes(view, str(auto_schema.method))
        return SecurityRequirement(self.name, view, scopes)

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return dict(self.definition)


class TokenScheme(_Scheme):
    target_class = "frappe_tokens.authentication.TokenAuthentication"
    name = "apiKeyToken"
    # Tools know no HTTP scheme of this name, and would leave the header out.
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
            "`<api_key>:<api_secret>`, or an OAuth 2 access token where the server issues those."
        ),
    }
