"""The bodies of requests and responses, as serializers that only describe them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import Direction, extend_schema_field, inline_serializer
from rest_framework.serializers import CharField, DateField, DateTimeField, DictField, IntegerField

from ...api import fields, serializers
from ...api.key_actions import MAX_FINDINGS
from ...conf import LONGEST, conf
from ...keys import GRACE_MAX

Schema = dict[str, Any]

_SENTENCE = CharField(help_text="A sentence, which may be translated.")
_CODE = CharField(help_text="Stable, for programs.")
# Responses of the view's own permissions and throttles may not have a code.
_OPTIONAL_CODE = CharField(
    required=False, help_text="Stable. Always present if the API key is refused."
)
_SECRET = CharField(read_only=True, help_text="Only shown in this response.")
_USER = CharField(required=False, help_text="The username. It may also be in the query string.")

REFUSAL = inline_serializer("ApiKeyRefusal", {"detail": _SENTENCE, "code": _OPTIONAL_CODE})
ERROR = inline_serializer("ApiKeyError", {"detail": _SENTENCE, "code": _CODE})
FRAPPE_ERROR = inline_serializer(
    "FrappeError",
    {
        "exc_type": CharField(help_text="The class of Frappe's exception."),
        "exception": CharField(),
        "exc": CharField(help_text="A list of messages, as JSON."),
        "_server_messages": CharField(label="", help_text="Objects as JSON, in a list as JSON."),
        "code": _CODE,
    },
)
# By field, or for the whole request.
INVALID: Schema = {
    "anyOf": [
        {"$ref": "#/components/schemas/ApiKeyRefusal"},
        {
            "type": "object",
            "description": "Messages by field name.",
            "additionalProperties": {
                "anyOf": [
                    {"type": "array", "items": {"type": "string"}},
                    {"type": "object", "description": "By position in the list."},
                ]
            },
        },
    ]
}
_OUTCOMES = DictField(child=IntegerField())
_USAGE_DAYS = inline_serializer(
    "ApiKeyUsageDay",
    {"date": DateField(), "total": IntegerField(), "outcomes": _OUTCOMES},
    many=True,
)
USAGE = inline_serializer(
    "ApiKeyUsage",
    {
        "api_key": CharField(),
        "days": IntegerField(help_text="The number of days in `usage`."),
        "from": DateField(),
        "to": DateField(),
        "time_zone": CharField(),
        "total": IntegerField(),
        "refused": IntegerField(),
        "last_used_at": DateTimeField(allow_null=True),
        "usage": _USAGE_DAYS,
    },
)
_NUMBER: Schema = {"type": "integer", "minimum": 0}
_RATE: Schema = {
    "type": "object",
    "nullable": True,
    "description": (
        "How many requests are left on views that limit the rate of each key. Null: unlimited."
    ),
    "properties": {
        "limit": {**_NUMBER, "description": "How many requests are allowed in a period."},
        "period": {**_NUMBER, "description": "Its length in seconds."},
        "remaining": {**_NUMBER, "nullable": True, "description": "Null if it isn't known now."},
        "reset": {
            **_NUMBER,
            "nullable": True,
            "description": "Seconds until `limit` are left again. Null: never, or not known now.",
        },
    },
    "required": ["limit", "period", "remaining", "reset"],
}
# Not oneOf: a key has the properties of an access token too.
PRESENTED: Schema = {
    "anyOf": [
        {
            "allOf": [
                {"$ref": "#/components/schemas/ApiKey"},
                {"type": "object", "properties": {"rate": _RATE}, "required": ["rate"]},
            ]
        },
        {
            "type": "object",
            "description": "An access token.",
            "properties": {
                "user": {"type": "string", "description": "The username."},
                "scopes": {"type": "array", "items": {"type": "string"}},
                "read_only": {"type": "boolean"},
                "expires_at": {"type": "string", "format": "date-time", "nullable": True},
                "rate": _RATE,
            },
            "required": ["expires_at", "rate", "read_only", "scopes", "user"],
        },
    ]
}
USERNAME = inline_serializer("FrappeUsername", {"message": CharField(help_text="The username.")})
PONG = inline_serializer("FrappePong", {"message": CharField(help_text="`pong`.")})
VERSION = inline_serializer("FrappeVersion", {"message": CharField(help_text="Of the app.")})
GENERATE_KEYS = inline_serializer("FrappeGenerateKeys", {"user": _USER})
_PAIR = inline_serializer("FrappeApiKeyPair", {"api_key": CharField(), "api_secret": _SECRET})
GENERATED_KEYS = inline_serializer("FrappeGeneratedKeys", {"message": _PAIR})

_TEXT: Schema = {"type": "string"}
_TOKEN: Schema = {**_TEXT, "description": "`<api_key>:<api_secret>`, or a generated secret alone."}
LEAKED: Schema = {
    "oneOf": [
        {"type": "object", "properties": {"token": _TOKEN}, "required": ["token"]},
        {
            "type": "array",
            "maxItems": MAX_FINDINGS,
            "items": {
                "type": "object",
                "properties": {"token": _TOKEN, "type": _TEXT, "url": _TEXT, "source": _TEXT},
                "required": ["token"],
            },
        },
    ]
}
FEEDBACK = inline_serializer(
    "FindingFeedback",
    {
        "token_hash": CharField(help_text="The SHA-256 of the token, in hexadecimal."),
        "token_type": CharField(help_text="The `type` of the finding."),
        "label": CharField(help_text="`true_positive` or `false_positive`."),
    },
    many=True,
)


class ApiKeyWithSecretSerializer(serializers.ApiKeySerializer):
    api_secret = _SECRET

    class Meta(serializers.ApiKeySerializer.Meta):
        fields = [*serializers.ApiKeySerializer.Meta.fields, "api_secret"]
        read_only_fields = fields


class StrictExtension(OpenApiSerializerExtension):
    target_class = "frappe_tokens.api.serializers.StrictSerializer"
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> Schema:
        # The base class would lose the instance's arguments (partial=True).
        schema: Schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return {**schema, "additionalProperties": False}


class ScopesExtension(OpenApiSerializerFieldExtension):
    """Names the scopes that the project declares."""

    target_class = "frappe_tokens.api.fields.ScopesField"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> Schema:
        schema: Schema = auto_schema._map_serializer_field(
            self.target, direction, bypass_extensions=True
        )
        if (declared := conf.SCOPES) is None:
            return schema
        lines = [f"* `{scope}`: {description}" for scope, description in declared.items()]
        items = {"type": "string", "enum": [*declared]}
        return {**schema, "items": items, "description": "\n".join(lines)}


extend_schema_field({"type": "object", "additionalProperties": {}})(fields.MetadataField)
extend_schema_field(
    {
        "type": "number",
        "minimum": 0,
        "maximum": int(GRACE_MAX.total_seconds()),
        "description": "How many seconds the old secret keeps working.",
    }
)(fields.SecondsField)
extend_schema_field(
    {
        "type": "number",
        "exclusiveMinimum": True,
        "minimum": 0,
        "maximum": int(LONGEST.total_seconds()),
        "description": "How many seconds the key lives from now on. Instead of `expires_at`.",
    }
)(fields.LifetimeField)
