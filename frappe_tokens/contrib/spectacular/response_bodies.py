"""The bodies of the app's own requests and responses, as serializers that only describe them."""

from __future__ import annotations

from drf_spectacular.utils import inline_serializer
from rest_framework import serializers

from ...api.serializers import KeySerializer

_SHOWN_ONCE = "Only shown in this response."


class KeyWithSecretSerializer(KeySerializer):
    api_secret = serializers.CharField(read_only=True, help_text=_SHOWN_ONCE)

    class Meta(KeySerializer.Meta):
        fields = [*KeySerializer.Meta.fields, "api_secret"]
        read_only_fields = fields


ERROR = inline_serializer(
    "ApiKeyError",
    {
        "detail": serializers.CharField(help_text="A sentence, which may be translated."),
        "code": serializers.CharField(help_text="Stable, for programs."),
    },
)
USAGE = inline_serializer(
    "ApiKeyUsage",
    {
        "api_key": serializers.CharField(),
        "days": serializers.IntegerField(help_text="The number of days in `usage`."),
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
USERNAME = inline_serializer(
    "FrappeUsername", {"message": serializers.CharField(help_text="The username.")}
)
GENERATED_KEYS = inline_serializer(
    "FrappeGeneratedKeys",
    {
        "message": inline_serializer(
            "FrappeApiKeyPair",
            {
                "api_key": serializers.CharField(),
                "api_secret": serializers.CharField(help_text=_SHOWN_ONCE),
            },
        )
    },
)
GENERATE_KEYS = inline_serializer(
    "FrappeGenerateKeys",
    {
        "user": serializers.CharField(
            required=False, help_text="The username. It may also be in the query string."
        )
    },
)
