"""The bodies of the app's own answers, as serializers and schemas that only the description has."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_serializer, inline_serializer
from rest_framework import serializers

from ...api.serializers import KeySerializer


class KeyWithSecretSerializer(KeySerializer):
    """A key in the only answers that have its secret."""

    api_secret = serializers.CharField(
        read_only=True, help_text="Shown here, and nowhere and never again."
    )

    class Meta(KeySerializer.Meta):
        fields = [*KeySerializer.Meta.fields, "api_secret"]
        read_only_fields = fields


@extend_schema_serializer(component_name="ApiKeyError")
class ErrorSerializer(serializers.Serializer[Any]):
    detail = serializers.CharField(help_text="A sentence, which may be translated.")
    code = serializers.CharField(help_text="Stable, for programs.")


UsageAnswerSerializer = inline_serializer(
    "ApiKeyUsage",
    {
        "api_key": serializers.CharField(),
        "days": serializers.IntegerField(help_text="How many days there are in `usage`."),
        # A word of Python's.
        "from": serializers.DateField(),
        "to": serializers.DateField(),
        "time_zone": serializers.CharField(),
        "total": serializers.IntegerField(),
        "refused": serializers.IntegerField(),
        "last_used_at": serializers.DateTimeField(allow_null=True),
        "usage": inline_serializer(
            "ApiKeyUsageDay",
            {
                "date": serializers.DateField(),
                "total": serializers.IntegerField(),
                "outcomes": serializers.DictField(child=serializers.IntegerField()),
            },
            many=True,
        ),
    },
)


@extend_schema_serializer(component_name="FrappeUsername")
class UsernameSerializer(serializers.Serializer[Any]):
    message = serializers.CharField(help_text="The username.")


@extend_schema_serializer(component_name="FrappeApiKeyPair")
class PairSerializer(serializers.Serializer[Any]):
    api_key = serializers.CharField()
    api_secret = serializers.CharField(help_text="Shown here, and nowhere and never again.")


@extend_schema_serializer(component_name="FrappeGeneratedKeys")
class GeneratedSerializer(serializers.Serializer[Any]):
    message = PairSerializer()


@extend_schema_serializer(component_name="FrappeGenerateKeys")
class GenerateSerializer(serializers.Serializer[Any]):
    user = serializers.CharField(
        required=False, help_text="The username; it may be in the query as well."
    )
