from __future__ import annotations

from typing import Any

from rest_framework import serializers

from .models import ToDo

# Frappe's format. Times are in the server's time zone.
TIME_FORMAT = "%Y-%m-%d %H:%M:%S.%f"


class ToDoSerializer(serializers.ModelSerializer[ToDo]):
    """A ToDo in the API. Values for read-only fields are ignored."""

    owner = serializers.CharField(source="owner.get_username", read_only=True)
    creation = serializers.DateTimeField(format=TIME_FORMAT, read_only=True)
    modified = serializers.DateTimeField(format=TIME_FORMAT, read_only=True)

    class Meta:
        model = ToDo
        fields = ["name", "owner", "creation", "modified"]
        fields += ["description", "status", "priority", "date"]
        read_only_fields = ["name"]

    def to_internal_value(self, data: Any) -> Any:
        if data.get("date") == "":  # a form has no null
            data = {**data, "date": None}
        return super().to_internal_value(data)
