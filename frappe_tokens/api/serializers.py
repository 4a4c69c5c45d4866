"""API keys as JSON: what is shown of them, and what a client may say about them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.utils.timezone import get_default_timezone, is_naive, make_naive
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import ISO_8601, serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.fields import empty

from ..crypto import Secret
from ..keys import clean_changes, clean_grace
from ..models import ApiKey
from ..request_log import DAYS, DAYS_MAX
from ..validators import ITEM_MAX_LENGTH, LIST_MAX_LENGTH

_RATE: Any = ApiKey._meta.get_field("rate_limit")
_REASON: Any = ApiKey._meta.get_field("revoked_reason")


class StrictDateTimeField(serializers.DateTimeField):
    """A time with its zone, shown in UTC. With ``USE_TZ`` off: in the server's, without one."""

    # Not the project's formats: clients of this app can rely on one.
    format = ISO_8601
    input_formats = [ISO_8601]

    def enforce_timezone(self, value: datetime) -> datetime:
        if is_naive(value):
            return value  # whether it may be is asked where it counts
        try:
            moment = value.astimezone(timezone.utc)
            return moment if settings.USE_TZ else make_naive(moment, get_default_timezone())
        except OverflowError:
            self.fail("overflow")


class TextField(serializers.CharField):
    """A text, and not what could be made one: the number 1 is no name."""

    def run_validation(self, data: object = empty) -> object:
        if data is not empty and data is not None and not isinstance(data, str):
            self.fail("invalid")
        return super().run_validation(data)


class StrictBooleanField(serializers.BooleanField):
    """True or false, and not what could mean it: "false" is no false."""

    def to_internal_value(self, data: object) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class StringListField(serializers.ListField):
    """A list of texts, each once."""

    def __init__(self, **kwargs: Any) -> None:
        child = TextField(max_length=ITEM_MAX_LENGTH)
        super().__init__(child=child, max_length=LIST_MAX_LENGTH, **kwargs)

    def to_internal_value(self, data: Any) -> list[str]:
        return list(dict.fromkeys(super().to_internal_value(data)))


class SecondsField(serializers.Field[timedelta, Any, Any, Any]):
    """How long a replaced secret goes on working, in seconds."""

    default_error_messages = {
        "invalid": gettext_lazy("Give the grace as a number of seconds, such as 3600."),
    }

    def to_internal_value(self, data: object) -> timedelta:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        try:
            grace = timedelta(seconds=data)
        except (OverflowError, ValueError):  # such as 1e999, which JSON readers take for infinity
            grace = timedelta.max
        return clean_grace(grace)


class TokenField(serializers.Field[Secret, Any, Any, Any]):
    """``<api_key>:<api_secret>``, well formed or not."""

    default_error_messages = {
        "invalid": gettext_lazy("Give the token as a text: <api_key>:<api_secret>."),
    }

    def to_internal_value(self, data: object) -> Secret:
        if not isinstance(data, str):
            self.fail("invalid")
        return Secret(data)


class ZoneField(serializers.Field[ZoneInfo, Any, Any, Any]):
    """A time zone by its name."""

    default_error_messages = {
        "invalid": gettext_lazy("Give the name of a time zone, such as Asia/Kolkata or UTC."),
    }

    def to_internal_value(self, data: Any) -> ZoneInfo:
        try:
            return ZoneInfo(data)
        except (KeyError, OSError, ValueError):  # a directory, or a name that no file may have
            self.fail("invalid")


class KeySerializer(serializers.ModelSerializer[ApiKey]):
    """What may be seen of a key: all but its digests."""

    serializer_field_mapping: ClassVar = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.DateTimeField: StrictDateTimeField,
    }
    user = serializers.CharField(source="user.get_username", read_only=True)

    class Meta:
        model = ApiKey
        fields = [
            "api_key",
            "name",
            "user",
            "scopes",
            "read_only",
            "allowed_ips",
            "rate_limit",
            "expires_at",
            "revoked_at",
            "last_used_at",
            "last_used_ip",
            "created_at",
        ]
        read_only_fields = fields


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses what it has no field for: a client that sends it expects something to come of it."""

    def to_internal_value(self, data: Any) -> Any:
        errors: dict[str, Any] = {}
        if isinstance(data, Mapping):
            errors = {_shown(name): [self._why(name)] for name in data if name not in self.fields}
        try:
            values = super().to_internal_value(data)
        except ValidationError as error:
            if errors and isinstance(error.detail, dict):
                raise ValidationError({**error.detail, **errors}) from error
            raise
        if errors:
            raise ValidationError(errors)
        return values

    def _why(self, name: str) -> Any:
        if name == "api_secret" or _is_column(name):
            return ErrorDetail(_("This field is read-only: it cannot be chosen."), "read_only")
        known = ", ".join(self.fields)
        return ErrorDetail(_("There is no such field. There are: %s.") % known, "unknown")


class PoliciesSerializer(StrictSerializer):
    """What may be chosen of a key."""

    name = TextField(required=False, allow_blank=True)
    scopes = StringListField(required=False)
    # A field's own attributes have these names too, which a serializer's fields do not disturb.
    read_only = StrictBooleanField(required=False)  # type: ignore[assignment]
    allowed_ips = StringListField(required=False)
    rate_limit = TextField(required=False, allow_blank=True, max_length=_RATE.max_length)
    expires_at = StrictDateTimeField(required=False, allow_null=True)

    def validate(self, attrs: dict[str, object]) -> dict[str, object]:
        # Here as well as in the core, so that an error has the name of its field.
        clean_changes({name: value for name, value in attrs.items() if name != "user"})
        return attrs


class NewKeySerializer(PoliciesSerializer):
    """The same for a key that is to be made, and whose it is: by default one's own."""

    user = TextField(required=False)


class RotationSerializer(StrictSerializer):
    grace = SecondsField(required=False)


class RevocationSerializer(StrictSerializer):
    reason = TextField(required=False, allow_blank=True, max_length=_REASON.max_length)


class UsageSerializer(serializers.Serializer[Any]):
    """What may be asked of a key's usage, in the query."""

    days = serializers.IntegerField(min_value=1, max_value=DAYS_MAX, default=DAYS)
    time_zone = ZoneField(default=partial(ZoneInfo, "UTC"))


class LeakSerializer(serializers.Serializer[Any]):
    token = TokenField()


def _is_column(name: str) -> bool:
    try:
        ApiKey._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return True


def _shown(name: str) -> str:
    # JSON has lone surrogates, UTF-8 has not.
    return name.encode("utf-8", "backslashreplace").decode()
