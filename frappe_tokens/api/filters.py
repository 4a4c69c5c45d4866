"""Which keys a list shows."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.filters import BaseFilterBackend

from ..keys import Actor, find_user
from ..models import ApiKey

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView

# The parameters of the filter set, which is there where django-filter is.
FILTER_SET = ("read_only", "unused", "last_used_before", "expires_before")


class KeyFilter(BaseFilterBackend):
    """``?user=``, ``?name=`` ("" for the unnamed key), ``?state=``; the rest is django-filter's."""

    def filter_queryset(
        self, request: Request, queryset: QuerySet[Any], view: APIView
    ) -> QuerySet[Any]:
        asked = request.query_params
        if "user" in asked:
            queryset = _of_user(queryset, asked["user"], Actor.of(request))
        if "name" in asked:
            name = asked["name"]
            # No name holds a NUL, about which PostgreSQL raises an error of its own.
            queryset = queryset.filter(name=name) if name.isprintable() else queryset.none()
        if "state" in asked:
            queryset = queryset.filter(_in_state(asked["state"], timezone.now()))
        if apps.is_installed("django_filters"):
            return _by_filter_set(request, queryset, view)
        if unavailable := [name for name in FILTER_SET if name in asked]:
            # Passed over, they would show keys that were not asked for.
            sentence = _("This filter needs django-filter. Install it on the server, or leave it.")
            raise ValidationError(
                {name: [ErrorDetail(sentence, "unavailable")] for name in unavailable}
            )
        return queryset


def _of_user(queryset: QuerySet[ApiKey], username: str, actor: Actor) -> QuerySet[ApiKey]:
    user = actor.user
    if username != str(user.get_username()):
        # Whoever sees their own keys alone learns nothing of who else there is.
        user = find_user(username) if actor.may_generate else None
    keys: QuerySet[ApiKey] = queryset.filter(user=user.pk) if user is not None else queryset.none()
    return keys


def _in_state(state: str, now: datetime) -> Q:
    live = Q(revoked_at__isnull=True)
    states = {
        "active": live & (Q(expires_at__isnull=True) | Q(expires_at__gt=now)),
        "expired": live & Q(expires_at__lte=now),
        "revoked": ~live,
    }
    if state not in states:
        sentence = _("A key's state is one of: %s.") % ", ".join(states)
        raise ValidationError({"state": [ErrorDetail(sentence, "invalid_choice")]})
    return states[state]


def _by_filter_set(request: Request, queryset: QuerySet[ApiKey], view: APIView) -> QuerySet[ApiKey]:
    # Only here: without the extra package this module works too.
    from .filtersets import KeyFilterBackend

    chosen: QuerySet[ApiKey] = KeyFilterBackend().filter_queryset(request, queryset, view)
    return chosen
