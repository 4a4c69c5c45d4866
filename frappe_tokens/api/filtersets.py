"""The filters of the keys' list that django-filter does, where it is installed."""

from __future__ import annotations

from datetime import datetime

from django import forms
from django.conf import settings
from django.utils.timezone import is_naive
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from rest_framework.exceptions import ValidationError

from ..models import ApiKey
from .serializers import StrictDateTimeField


class MomentFormField(forms.CharField):
    """A time with its zone, read as in a body."""

    # A form field may clean to whatever it likes; the stubs know a CharField's text only.
    def to_python(self, value: object) -> datetime | None:  # type: ignore[override]
        text = super().to_python(value)
        if not text:
            return None
        try:
            moment: datetime = StrictDateTimeField().run_validation(text)
        except ValidationError as error:
            raise forms.ValidationError(_("Give a time such as 2026-01-31T12:30:00Z.")) from error
        if is_naive(moment) and settings.USE_TZ:
            raise forms.ValidationError(_("The time needs a zone: 2026-01-31T12:30:00Z."))
        return moment

    def run_validators(self, value: object) -> None:
        """A time has none of a text's."""


class StrictDateTimeFilter(filters.Filter):
    field_class = MomentFormField


class StrictBooleanFilter(filters.TypedChoiceFilter):
    """ "true" or "false"; anything else is an error, and not "either"."""

    def __init__(self, **kwargs: object) -> None:
        choices = [("true", "true"), ("false", "false")]
        super().__init__(choices=choices, coerce="true".__eq__, **kwargs)


class KeyFilterSet(filters.FilterSet):
    read_only = StrictBooleanFilter(field_name="read_only")
    unused = StrictBooleanFilter(field_name="last_used_at", lookup_expr="isnull")
    last_used_before = StrictDateTimeFilter(field_name="last_used_at", lookup_expr="lt")
    expires_before = StrictDateTimeFilter(field_name="expires_at", lookup_expr="lt")

    class Meta:
        model = ApiKey
        fields: list[str] = []


class KeyFilterBackend(filters.DjangoFilterBackend):
    def get_filterset_class(self, view: object, queryset: object = None) -> type[KeyFilterSet]:
        return KeyFilterSet
