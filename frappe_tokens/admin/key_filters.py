"""The filters of lists of keys."""

from __future__ import annotations

from abc import abstractmethod
from datetime import timedelta

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..base_models import AbstractApiKey, KeyState
from ..keys import expiring_within, unused_for
from ..ui import EXPIRING_DAYS

UNUSED_DAYS = 90


class StateFilter(admin.SimpleListFilter):
    """Lists the keys in one :class:`KeyState`."""

    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        return list(KeyState.choices)

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[AbstractApiKey]
    ) -> QuerySet[AbstractApiKey]:
        state = self.value()
        if state is not None and state in KeyState.values:
            queryset = queryset.filter(KeyState(state).condition())
        return queryset


class DaysFilter(admin.SimpleListFilter):
    """A filter with one choice, whose value in the URL is a number of days."""

    days: int

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        return [(str(self.days), self.label())]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[AbstractApiKey]
    ) -> QuerySet[AbstractApiKey]:
        return queryset.filter(self.condition()) if self.value() == str(self.days) else queryset

    @abstractmethod
    def label(self) -> str:
        """Return the label of the choice."""

    @abstractmethod
    def condition(self) -> Q:
        """Return the condition that the listed keys meet."""


class ExpiryFilter(DaysFilter):
    """Lists the active keys that expire soon."""

    title = gettext_lazy("expiry")
    parameter_name = "expires_in"
    days = EXPIRING_DAYS

    def label(self) -> str:
        return _("Within %(days)s days") % {"days": self.days}

    def condition(self) -> Q:
        soon = expiring_within(timedelta(days=self.days), timezone.now())
        return KeyState("active").condition() & soon


class UseFilter(DaysFilter):
    """Lists unused keys, which could be revoked."""

    title = gettext_lazy("use")
    parameter_name = "unused_for"
    days = UNUSED_DAYS

    def label(self) -> str:
        return _("Unused for %(days)s days") % {"days": self.days}

    def condition(self) -> Q:
        unused = unused_for(timedelta(days=self.days), timezone.now())
        return Q(revoked_at__isnull=True) & unused
