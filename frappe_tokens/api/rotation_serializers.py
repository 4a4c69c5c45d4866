"""What clients may send with a rotation."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework.exceptions import ValidationError

from ..conf import LONGEST
from ..keys import clean_changes, clean_expiry
from .serializers import OfType, SecondsField, StrictDateTimeField, StrictSerializer


class LifetimeField(OfType):
    """How many seconds a key lives from now on. The value is its expiry."""

    types = (int, float)
    default_error_messages = {
        "invalid": gettext_lazy("Enter the lifetime in seconds, for example 86400 for a day."),
    }

    def to_internal_value(self, data: float) -> datetime:
        # Also false for what is no number, which JSON readers may return.
        if not 0 < data <= LONGEST.total_seconds():
            self.fail("invalid")
        return clean_expiry(timezone.now() + timedelta(seconds=data))


class ApiKeyRotationSerializer(StrictSerializer):
    grace = SecondsField(required=False)
    expires_at = StrictDateTimeField(required=False)
    expires_in = LifetimeField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "expires_in" not in attrs:
            # Here as well as in the core, so that an error has the name of its field.
            clean_changes({name: value for name, value in attrs.items() if name == "expires_at"})
        elif "expires_at" in attrs:
            raise ValidationError({"expires_in": [_("Enter expires_at or expires_in, not both.")]})
        else:
            attrs["expires_at"] = attrs.pop("expires_in")
        return attrs
