"""Describes the app's own serializers, fields and filters."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from drf_spectacular.extensions import (
    OpenApiFilterExtension,
    OpenApiSerializerExtension,
    OpenApiSerializerFieldExtension,
)
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import build_parameter_type
from drf_spectacular.utils import Direction

from ...api.filters import FILTER_SET
from ...keys import GRACE_MAX

# As drf-spectacular types them.
Schema = dict[str, Any]

_STRINGS: Schema = {"type": "array", "items": {"type": "string"}, "readOnly": True}
_TIME: Schema = {"type": "string", "format": "date-time"}
_FLAG: Schema = {"type": "string", "enum": ["true", "false"]}


class _Serializer(OpenApiSerializerExtension):
    """Names a serializer so that it's unlikely to clash with one of the project's.

    Attributes:
        name: its name.
        is_strict: whether it refuses unknown fields.
    """

    name: str
    is_strict = False

    def get_name(self, auto_schema: AutoSchema, direction: Direction) -> str:
        return self.name

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> Schema:
        # The base class would describe the class, and lose the instance's arguments (partial=True).
        schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return {**schema, "additionalProperties": False} if self.is_strict else schema


class KeyExtension(_Serializer):
    target_class = "frappe_tokens.api.serializers.KeySerializer"
    name = "ApiKey"
    match_subclasses = True

    def get_name(self, auto_schema: AutoSchema, direction: Direction) -> str:
        return "ApiKeyWithSecret" if "api_secret" in self.target.fields else self.name

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> Schema:
        schema = super().map_serializer(auto_schema, direction)
        schema["properties"].update(
            scopes={**_STRINGS, "description": "If empty, the key may do what its user may do."},
            allowed_ips={**_STRINGS, "description": "If empty, every address is allowed."},
        )
        return schema


class NewKeyExtension(_Serializer):
    target_class = "frappe_tokens.api.serializers.NewKeySerializer"
    name = "NewApiKey"
    is_strict = True


class PoliciesExtension(_Serializer):
    target_class = "frappe_tokens.api.serializers.PoliciesSerializer"
    name = "ApiKeyPolicies"
    is_strict = True


class RotationExtension(_Serializer):
    target_class = "frappe_tokens.api.serializers.RotationSerializer"
    name = "ApiKeyRotation"
    is_strict = True


class LeakExtension(_Serializer):
    target_class = "frappe_tokens.api.serializers.LeakSerializer"
    name = "LeakedToken"


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
    target_class = "frappe_tokens.api.filters.KeyFilter"

    def get_schema_operation_parameters(
        self, auto_schema: AutoSchema, *args: object, **kwargs: object
    ) -> list[Schema]:
        text: Schema = {"type": "string"}
        state: Schema = {"type": "string", "enum": ["active", "expired", "revoked"]}
        params = {
            "user": (text, "Keys of the user with this username."),
            "name": (text, "Keys with this name. If empty, keys without a name."),
            "state": (state, "Keys in this state."),
        }
        if apps.is_installed("django_filters"):
            filter_set = [
                (_FLAG, "Whether keys are read-only."),
                (_FLAG, "Whether keys have never been used."),
                (_TIME, "Keys last used before this time."),
                (_TIME, "Keys that expire before this time."),
            ]
            params.update(zip(FILTER_SET, filter_set, strict=True))
        return [
            build_parameter_type(name, schema, "query", description=description)
            for name, (schema, description) in params.items()
        ]
