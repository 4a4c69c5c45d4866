"""Fields of the REST API, which never convert values silently."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.timezone import get_default_timezone, is_naive, make_naive, now
from django.utils.translation import gettext_lazy
from rest_framework import ISO_8601, serializers
from rest_framework.fields import empty

from ..conf import LONGEST
from ..crypto import Secret
from ..keys import as_json, clean_expiry, clean_grace
from ..validators import ITEM_MAX_LENGTH


class StrictDateTimeField(serializers.DateTimeField):
    """An aware time, in UTC. Without ``USE_TZ``, a naive one in the server's time zone."""

    # Independent of the project's formats.
    format = ISO_8601
    input_formats = [ISO_8601]
    default_error_messages = {
        "naive": gettext_lazy("The time needs a time zone, for example 2026-01-31T12:30:00Z."),
    }

    def enforce_timezone(self, value: datetime) -> datetime:
        if is_naive(value):
            if settings.USE_TZ:
                self.fail("naive")
            return value
        try:
            moment = value.astimezone(timezone.utc)
            return moment if settings.USE_TZ else make_naive(moment, get_default_timezone())
        except OverflowError:
            self.fail("overflow")


class OfType(serializers.Field[Any, Any, Any, Any]):
    """Accepts only some JSON types. DRF's fields convert others, such as numbers and "false"."""

    types: tuple[type, ...] = (str,)

    def run_validation(self, data: object = empty) -> object:
        if data is not empty and data is not None and type(data) not in self.types:
            self.fail("invalid", input=data)
        return super().run_validation(data)


class TextField(OfType, serializers.CharField):
    """A string."""


class StrictBooleanField(OfType, serializers.BooleanField):
    """True or false."""

    types = (bool,)


class FlagField(serializers.Field[bool, str, object, object]):
    """``true`` or ``false`` in a query."""

    default_error_messages = {"invalid": gettext_lazy("Enter true or false.")}

    def to_internal_value(self, data: str) -> bool:
        if data not in {"true", "false"}:
            self.fail("invalid")
        return data == "true"


class StringListField(serializers.ListField):
    """A list of strings, without duplicates."""

    child = TextField(max_length=ITEM_MAX_LENGTH)

    def to_internal_value(self, data: list[object]) -> list[str]:
        return list(dict.fromkeys(super().to_internal_value(data)))


class ScopesField(StringListField):
    """The new scopes of a key, which the serializer validates."""


class SecondsField(OfType):
    """A grace period in seconds."""

    types = (int, float)
    default_error_messages = {
        "invalid": gettext_lazy("Enter the grace period in seconds, for example 3600."),
    }

    def to_internal_value(self, data: float) -> timedelta:
        try:
            grace = timedelta(seconds=data)
        except (OverflowError, ValueError):  # such as 1e999, which Python reads as infinity
            grace = timedelta.max
        return clean_grace(grace)


class MetadataField(serializers.JSONField):
    """A JSON object, which the serializer validates."""

    # The stubs say that a JSONField returns text.
    def to_representation(self, value: object) -> object:  # type: ignore[override]
        # A source may have its own attribute of this name, of any type. An error would lose the
        # secret in the response.
        return json.loads(as_json(value))


class TokenField(OfType):
    """``<api_key>:<api_secret>`` or a secret alone, well formed or not."""

    types = (str, Secret)
    default_error_messages = {
        "invalid": gettext_lazy(
            "Enter the token as a string: <api_key>:<api_secret>, or the API secret alone."
        ),
    }

    def to_internal_value(self, data: str) -> Secret:
        return Secret(data)


def hidden(data: object) -> object:
    """Return parsed JSON whose tokens ``repr()`` hides: DRF has ``data`` in variables."""
    if isinstance(data, list):
        return [hidden(item) for item in data]
    if isinstance(data, dict) and isinstance(data.get("token"), str):
        return {**data, "token": Secret(data["token"])}
    return data


class ZoneField(serializers.Field[ZoneInfo, str, object, object]):
    """A time zone by its name."""

    default_error_messages = {
        "invalid": gettext_lazy("Enter the name of a time zone, for example Asia/Kolkata or UTC."),
    }

    def to_internal_value(self, data: str) -> ZoneInfo:
        try:
            return ZoneInfo(data)
        except (KeyError, OSError, ValueError):  # a directory, or an invalid file name
            self.fail("invalid")


class LifetimeField(OfType):
    """The seconds until a key expires. The value is its expiry."""

    types = (int, float)
    default_error_messages = {
        "invalid": gettext_lazy("Enter the lifetime in seconds, for example 86400 for a day."),
    }

    def to_internal_value(self, data: float) -> datetime:
        # Also false for NaN, which Python reads from JSON.
        if not 0 < data <= LONGEST.total_seconds():
            self.fail("invalid")
        return clean_expiry(now() + timedelta(seconds=data))
