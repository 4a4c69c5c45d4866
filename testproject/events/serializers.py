from __future__ import annotations

from typing import Any

from rest_framework import serializers

from .models import Event

# MariaDB refuses JSON with more than 31 levels.
MAX_DEPTH = 20


class PayloadField(serializers.JSONField):
    """Any JSON that every database can store."""

    default_error_messages = {
        "text": "The payload must not contain NUL characters or lone surrogates.",
        "depth": f"The payload may have at most {MAX_DEPTH} levels.",
    }

    def to_internal_value(self, data: Any) -> Any:
        left = [(data, 0)]
        while left:
            value, depth = left.pop()
            if depth > MAX_DEPTH:
                self.fail("depth")
            if isinstance(value, str):
                if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in value):
                    self.fail("text")
            elif isinstance(value, dict):
                left += [(item, depth + 1) for item in (*value, *value.values())]
            elif isinstance(value, list):
                left += [(item, depth + 1) for item in value]
        return super().to_internal_value(data)


class EventSerializer(serializers.ModelSerializer[Event]):
    """An event in the API. Clients can't choose who posted it."""

    consumer = serializers.CharField(source="consumer.name", read_only=True)
    user = serializers.CharField(source="user.get_username", read_only=True)
    payload = PayloadField(required=False)

    class Meta:
        model = Event
        fields = ["id", "consumer", "user", "kind", "payload", "created"]
        read_only_fields = ["created"]
