"""The filters of the API keys' list."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy


class StateFilter(admin.SimpleListFilter):
    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("active", _("Active")), ("expired", _("Expired")), ("revoked", _("Revoked"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        now = timezone.now()
        live = Q(revoked_at__isnull=True)
        states = {
            "active": live & (Q(expires_at__isnull=True) | Q(expires_at__gt=now)),
            "expired": live & Q(expires_at__lte=now),
            "revoked": ~live,
        }
        chosen: QuerySet[Any] = queryset.filter(states.get(self.value() or "", Q()))
        return chosen
