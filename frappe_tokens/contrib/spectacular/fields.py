"""How what the app's own serializers, fields and filters take looks in OpenAPI."""

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

_WORDS = {"type": "array", "items": {"type": "string"}, "readOnly": True}
_MOMENT: dict[str, Any] = {"type": "string", "format": "date-time"}
_FLAG: dict[str, Any] = {"type": "string", "enum": ["true", "false"]}


class _Serializer(OpenApiSerializerExtension):
    """A serializer under a name that no serializer of the project's is likely to have."""

    name: str

    def get_name(self, auto_schema: AutoSchema, direction: Direction) -> str:
        return self.name

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> Any:
        # Not the base class's, which forgets what the instance was told, such as partial=True.
        return auto_schema._map_serializer(self.target, direction, bypass_extensions=True)


class _StrictSerializer(_Serializer):
    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> Any:
        return {**super().map_serializer(auto_schema, direction), "additionalProperties": False}


class KeyExtension(_Serializer):
    target_class = "frappe_tokens.api.serializers.KeySerializer"
    name = "ApiKey"
    match_subclasses = True

    def get_name(self, auto_schema: AutoSchema, direction: Direction) -> str:
        return "ApiKeyWithSecret" if "api_secret" in self.target.fields else self.name

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> Any:
        schema = super().map_serializer(auto_schema, direction)
        schema["properties"].update(
            scopes={**_WORDS, "description": "None: whatever the user may do."},
            allowed_ips={**_WORDS, "description": "None: from everywhere."},
        )
        return schema


class NewKeyExtension(_StrictSerializer):
    target_class = "frappe_tokens.api.serializers.NewKeySerializer"
    name = "NewApiKey"


class PoliciesExtension(_StrictSerializer):
    target_class = "frappe_tokens.api.serializers.PoliciesSerializer"
    name = "ApiKeyPolicies"


class RotationExtension(_StrictSerializer):
    target_class = "frappe_tokens.api.serializers.RotationSerializer"
    name = "ApiKeyRotation"


class LeakExtension(_Serializer):
    target_class = "frappe_tokens.api.serializers.LeakSerializer"
    name = "LeakedToken"


class GraceExtension(OpenApiSerializerFieldExtension):
    target_class = "frappe_tokens.api.serializers.SecondsField"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> Any:
        return {
            "type": "number",
            "minimum": 0,
            "maximum": int(GRACE_MAX.total_seconds()),
            "description": "Seconds for which the old secret goes on working.",
        }


class TokenExtension(OpenApiSerializerFieldExtension):
    target_class = "frappe_tokens.api.serializers.TokenField"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> Any:
        return {"type": "string", "description": "`<api_key>:<api_secret>`"}


class KeyFilterExtension(OpenApiFilterExtension):
    target_class = "frappe_tokens.api.filters.KeyFilter"

    def get_schema_operation_parameters(
        self, auto_schema: AutoSchema, *args: Any, **kwargs: Any
    ) -> list[Any]:
        text, state = (
            {"type": "string"},
            {"type": "string", "enum": ["active", "expired", "revoked"]},
        )
        asked: dict[str, tuple[dict[str, Any], str]] = {
            "user": (text, "Keys of this username."),
            "name": (text, "Keys of this name. Empty: those without one."),
            "state": (state, "Keys in this state."),
        }
        if apps.is_installed("django_filters"):
            more = [
                (_FLAG, "Keys that are read-only, or that are not."),
                (_FLAG, "Keys that were never used, or that were."),
                (_MOMENT, "Keys last used before this time."),
                (_MOMENT, "Keys that expire before this time."),
            ]
            asked.update(zip(FILTER_SET, more, strict=True))
        return [
            build_parameter_type(name, schema, "query", description=description)
            for name, (schema, description) in asked.items()
        ]
