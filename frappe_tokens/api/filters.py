"""The filters of the list of keys."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

from django.conf import settings
from django.db.models import Model, QuerySet
from django.utils.timezone import is_naive
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.filters import BaseFilterBackend
from rest_framework.request import Request
from rest_framework.views import APIView

from ..base_models import KeyState
from ..keys import Actor, find_user
from ..models import ApiKey
from ..types import User
from .serializers import StrictDateTimeField

_Model = TypeVar("_Model", bound=Model)
_Row = TypeVar("_Row")


class FlagField(serializers.Field[bool, str, object, object]):
    """``true`` or ``false``, and nothing else that could mean it."""

    default_error_messages = {"invalid": _("Enter true or false.")}

    def to_internal_value(self, data: str) -> bool:
        if data not in {"true", "false"}:
            self.fail("invalid")
        return data == "true"


class MomentField(StrictDateTimeField):
    """A time to compare a column with."""

    def enforce_timezone(self, value: datetime) -> datetime:
        if is_naive(value) and settings.USE_TZ:
            raise serializers.ValidationError(
                _("The time needs a time zone, for example 2026-01-31T12:30:00Z.")
            )
        return super().enforce_timezone(value)


class FilterSerializer(serializers.Serializer[ApiKey]):
    """The filters that take some values only. Sources are lookups."""

    state = serializers.ChoiceField(
        KeyState.choices,
        required=False,
        error_messages={"invalid_choice": _("The state must be one of: active, expired, revoked.")},
    )
    # DRF's metaclass takes fields out of the class, so that this doesn't replace its read_only.
    read_only = FlagField(required=False)  # type: ignore[assignment]
    unused = FlagField(source="last_used_at__isnull", required=False)
    last_used_before = MomentField(source="last_used_at__lt", required=False)
    expires_before = MomentField(source="expires_at__lt", required=False)


class KeyFilter(BaseFilterBackend):
    """Filters by ``user``, ``name`` ("" for keys without one) and :class:`FilterSerializer`."""

    def filter_queryset(
        self, request: Request, queryset: QuerySet[_Model, _Row], view: APIView
    ) -> QuerySet[_Model, _Row]:
        params = request.query_params.dict()
        if "user" in params:
            user = find_visible_user(params["user"], Actor.of(request))
            queryset = queryset.filter(user=user.pk) if user is not None else queryset.none()
        if "name" in params:
            name = params["name"]
            # No key has such a name, and PostgreSQL raises its own error for a NUL.
            queryset = queryset.filter(name=name) if name.isprintable() else queryset.none()
        # Forms send their empty fields too.
        given = {name: value for name, value in params.items() if value or name == "state"}
        serializer = FilterSerializer(data=given)
        serializer.is_valid(raise_exception=True)
        lookups = dict(serializer.validated_data)
        if state := lookups.pop("state", None):
            queryset = queryset.filter(KeyState(state).condition())
        keys: QuerySet[_Model, _Row] = queryset.filter(**lookups)
        return keys


def find_visible_user(username: str, actor: Actor) -> User | None:
    """Return the user of this name; None if ``actor`` may not know whether there is one."""
    own: User = actor.user
    if username == str(own.get_username()):
        return own
    return find_user(username) if actor.may_generate else None
