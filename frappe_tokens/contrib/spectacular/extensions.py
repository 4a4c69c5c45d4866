"""Describes the app's schemes, serializers, fields and filters."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import (
    OpenApiAuthenticationExtension,
    OpenApiFilterExtension,
    OpenApiSerializerExtension,
    OpenApiSerializerFieldExtension,
)
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import build_parameter_type
from drf_spectacular.settings import spectacular_settings
from drf_spectacular.utils import Direction
from rest_framework.views import APIView

from ... import policy
from ...keys import GRACE_MAX

# As drf-spectacular types them.
Schema = dict[str, Any]

# Unlikely to clash with those of the project's serializers.
_NAMES = {
    "KeySerializer": "ApiKey",
    "KeyWithSecretSerializer": "ApiKeyWithSecret",
    "NewKeySerializer": "NewApiKey",
    "PoliciesSerializer": "ApiKeyPolicies",
    "RotationSerializer": "ApiKeyRotation",
    "LeakSerializer": "LeakedToken",
}
_STRINGS: Schema = {"type": "array", "items": {"type": "string"}, "readOnly": True}
_TIME: Schema = {"type": "string", "format": "date-time"}
_FLAG: Schema = {"type": "string", "enum": ["true", "false"]}


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


class _SerializerExtension(OpenApiSerializerExtension):
    match_subclasses = True

    def get_name(self, auto_schema: AutoSchema, direction: Direction) -> str | None:
        return _NAMES.get(type(self.target).__name__)

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> Schema:
        # The base class would describe the class, and lose the instance's arguments (partial=True).
        schema: Schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return schema


class KeyExtension(_SerializerExtension):
    target_class = "frappe_tokens.api.serializers.KeySerializer"

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> Schema:
        schema = super().map_serializer(auto_schema, direction)
        schema["properties"].update(
            scopes={**_STRINGS, "description": "If empty, the key may do what its user may do."},
            allowed_ips={**_STRINGS, "description": "If empty, every address is allowed."},
        )
        return schema


class StrictExtension(_SerializerExtension):
    target_class = "frappe_tokens.api.serializers.StrictSerializer"

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> Schema:
        schema = super().map_serializer(auto_schema, direction)
        return {**schema, "additionalProperties": False}


class LeakExtension(_SerializerExtension):
    target_class = "frappe_tokens.api.serializers.LeakSerializer"


class GraceExtension(OpenApiSerializerFieldExtension):
    target_class = "frappe_tokens.api.serializers.SecondsField"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> Schema:
        return {
            "type": "number",
            "minimum": 0,
            "maximum": int(GRACE_MAX.total_seconds()),
            "description": "How many seconds the old secret keeps working.",
        }


class TokenExtension(OpenApiSerializerFieldExtension):
    target_class = "frappe_tokens.api.serializers.TokenField"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> Schema:
        return {"type": "string", "description": "`<api_key>:<api_secret>`"}


class KeyFilterExtension(OpenApiFilterExtension):
    target_class = "frappe_tokens.api.keys.KeyFilter"

    def get_schema_operation_parameters(
        self, auto_schema: AutoSchema, *args: object, **kwargs: object
    ) -> list[Schema]:
        text: Schema = {"type": "string"}
        state: Schema = {"type": "string", "enum": ["active", "expired", "revoked"]}
        params = {
            "user": (text, "Keys of the user with this username."),
            "name": (text, "Keys with this name. If empty, keys without a name."),
            "state": (state, "Keys in this state."),
            "read_only": (_FLAG, "Whether keys are read-only."),
            "unused": (_FLAG, "Whether keys have never been used."),
            "last_used_before": (_TIME, "Keys last used before this time."),
            "expires_before": (_TIME, "Keys that expire before this time."),
        }
        return [
            build_parameter_type(name, schema, "query", description=description)
            for name, (schema, description) in params.items()
        ]
