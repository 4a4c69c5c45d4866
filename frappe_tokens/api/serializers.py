"""API keys as JSON: what clients get, and what they may send."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from ..base_models import AbstractApiKey, KeyState
from ..keys import clean_changes
from ..models import SHOWN_FIELDS, ApiKey
from ..request_log import DAYS, DAYS_MAX
from ..validators import (
    DESCRIPTION_MAX_LENGTH,
    LIST_MAX_LENGTH,
    RATE_MAX_LENGTH,
    REASON_MAX_LENGTH,
)
from .fields import (
    FlagField,
    LifetimeField,
    MetadataField,
    ScopesField,
    SecondsField,
    StrictBooleanField,
    StrictDateTimeField,
    StringListField,
    TextField,
    TokenField,
    ZoneField,
)


class ApiKeySerializer(serializers.ModelSerializer[AbstractApiKey]):
    """A key in responses, without its digests."""

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.DateTimeField: StrictDateTimeField,
    }
    user = serializers.CharField(source="user.get_username", read_only=True)
    scopes = StringListField(
        read_only=True, help_text="If empty, the key may do what its user may do."
    )
    allowed_ips = StringListField(read_only=True, help_text="If empty, every address is allowed.")
    metadata = MetadataField(read_only=True, help_text="It doesn't affect what the key may do.")

    class Meta:
        model = ApiKey
        fields = SHOWN_FIELDS
        read_only_fields = fields


class StrictSerializer(serializers.Serializer[ApiKey]):
    """Refuses unknown fields, because a client that sends one expects an effect."""

    def to_internal_value(self, data: object) -> dict[str, Any]:
        columns = {name for field in ApiKey._meta.fields for name in (field.name, field.attname)}
        read_only = _("This field is read-only. You can't choose it.")
        fields = ", ".join(self.fields) or "-"
        unknown = _("There is no such field. The fields are: %s.") % fields
        extra = {
            # JSON allows lone surrogates, UTF-8 doesn't.
            name.encode("utf-8", "backslashreplace").decode(): [
                read_only if name in columns | {"api_secret"} else unknown
            ]
            for name in (data if isinstance(data, Mapping) else ())
            if name not in self.fields
        }
        values: dict[str, Any] = {}
        errors: Any = {}
        try:
            values = super().to_internal_value(data)
        except ValidationError as error:
            errors = error.detail
        if errors or extra:
            raise ValidationError({**errors, **extra})
        return values


class ApiKeyPoliciesSerializer(StrictSerializer):
    """The name, the description, the metadata and the policies of a key."""

    name = TextField(required=False, allow_blank=True)
    description = TextField(required=False, allow_blank=True, max_length=DESCRIPTION_MAX_LENGTH)
    metadata = MetadataField(required=False)
    scopes = ScopesField(required=False, max_length=LIST_MAX_LENGTH)
    # Any, because DRF's own read_only is a bool. DRF's metaclass removes fields from the class, so
    # this one doesn't replace it.
    read_only: Any = StrictBooleanField(required=False)
    allowed_ips = StringListField(required=False, max_length=LIST_MAX_LENGTH)
    rate_limit = TextField(required=False, allow_blank=True, max_length=RATE_MAX_LENGTH)
    expires_at = StrictDateTimeField(required=False, allow_null=True)
    self_rotate = StrictBooleanField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        # Also checked later, but here an error gets the name of its field.
        held = self.instance.scopes if self.instance is not None else ()
        clean_changes({name: value for name, value in attrs.items() if name != "user"}, held)
        return attrs


class NewApiKeySerializer(ApiKeyPoliciesSerializer):
    """With the user of the new key, by default the caller."""

    user = TextField(required=False)


class ApiKeyRotationSerializer(StrictSerializer):
    grace = SecondsField(required=False)
    expires_at = StrictDateTimeField(required=False)
    expires_in = LifetimeField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "expires_in" not in attrs:
            # As above.
            clean_changes({name: value for name, value in attrs.items() if name == "expires_at"})
        elif "expires_at" in attrs:
            raise ValidationError({"expires_in": [_("Enter expires_at or expires_in, not both.")]})
        else:
            attrs["expires_at"] = attrs.pop("expires_in")
        return attrs


class RevocationSerializer(StrictSerializer):
    reason = TextField(required=False, allow_blank=True, max_length=REASON_MAX_LENGTH)


class FilterSerializer(serializers.Serializer[ApiKey]):
    """The filters of the list that accept only some values. Each ``source`` is a lookup."""

    state = serializers.ChoiceField(
        KeyState.choices,
        required=False,
        error_messages={
            "invalid_choice": gettext_lazy(
                "The state must be one of: active, disabled, expired, revoked."
            )
        },
    )
    read_only: Any = FlagField(required=False)  # as above
    unused = FlagField(source="last_used_at__isnull", required=False)
    last_used_before = StrictDateTimeField(source="last_used_at__lt", required=False)
    expires_before = StrictDateTimeField(source="expires_at__lt", required=False)


class UsageSerializer(serializers.Serializer[ApiKey]):
    """The query of a key's usage."""

    days = serializers.IntegerField(min_value=1, max_value=DAYS_MAX, default=DAYS)
    time_zone = ZoneField(default=partial(ZoneInfo, "UTC"))


class LeakedTokenSerializer(serializers.Serializer[ApiKey]):
    token = TokenField()


class FindingSerializer(LeakedTokenSerializer):
    """A finding of secret scanning, as GitHub sends it. Its ``source`` isn't used."""

    type = TextField(default="", allow_blank=True)
    url = TextField(default="", allow_blank=True)


class FindingsSerializer(serializers.ListSerializer[ApiKey]):
    child = FindingSerializer()
