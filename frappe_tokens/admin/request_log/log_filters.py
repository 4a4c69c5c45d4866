"""The filters of the request log. None of them scans the table for its choices."""

from __future__ import annotations

import logging
from collections.abc import Collection

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import DatabaseError
from django.db.models import Exists, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ...conf import conf
from ...db import statement_timeout
from ...models import ACCEPTED, OTHER, ApiRequestLog
from ..usage.chart import OUTCOME_PARAMETER
from ..usage.outcomes import LABELS, REFUSALS, label_of
from ..usage.summary import KEY_PARAMETER, SOURCE_PARAMETER, USER_PARAMETER

REFUSED = "refused"

logger = logging.getLogger(__name__)

Choices = list[tuple[str, str]]


class RequestFilter(admin.SimpleListFilter):
    """A choice of one value.

    Attributes:
        values: what can be chosen; if empty, only what a link has chosen is shown.
        is_indexed: whether an index finds the rows in the order of time.
    """

    values: tuple[str, ...] = ()
    is_indexed = False
    parameter_name: str

    def lookups(self, request: HttpRequest, model_admin: object) -> Choices:
        chosen = self.value()
        values = self.values or ((chosen,) if chosen else ())
        return [(value, value) for value in values]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[ApiRequestLog]
    ) -> QuerySet[ApiRequestLog]:
        value = self.value()
        return queryset.filter(self.condition(value)) if value else queryset

    def value(self) -> str | None:
        value = super().value()
        # PostgreSQL has no NUL.
        if value and ("\0" in value or value not in (self.values or [value])):
            raise ValueError(f"Choose another {self.parameter_name}.")
        return value

    def condition(self, value: str) -> Q:
        return Q(**{self.parameter_name: value})


class OutcomeFilter(RequestFilter):
    title = gettext_lazy("outcome")
    parameter_name = OUTCOME_PARAMETER
    is_indexed = True
    values = (ACCEPTED, REFUSED, OTHER, *REFUSALS)

    def lookups(self, request: HttpRequest, model_admin: object) -> Choices:
        found = {*outcomes_that_occur(), self.value()}
        if not found.isdisjoint(REFUSALS):
            found.add(REFUSED)
        names = {REFUSED: _("Refused")}
        return [
            (value, names.get(value) or label_of(value)) for value in self.values if value in found
        ]

    def condition(self, value: str) -> Q:
        return Q(outcome__in=REFUSALS) if value == REFUSED else Q(outcome=value)


class StatusFilter(RequestFilter):
    title = gettext_lazy("status")
    parameter_name = "status_class"
    values = ("2xx", "3xx", "4xx", "5xx")

    def condition(self, value: str) -> Q:
        first = 100 * int(value[0])
        return Q(status__gte=first, status__lt=first + 100)


class MethodFilter(RequestFilter):
    title = gettext_lazy("method")
    parameter_name = "method"
    values = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class SourceFilter(RequestFilter):
    title = gettext_lazy("source")
    parameter_name = SOURCE_PARAMETER

    def lookups(self, request: HttpRequest, model_admin: object) -> Choices:
        # A source that was removed from the settings is still in the log.
        chosen = super().lookups(request, model_admin)
        return [*dict.fromkeys([*((name, name) for name in conf.SOURCES), *chosen])]


class UserFilter(RequestFilter):
    title = gettext_lazy("user")
    parameter_name = USER_PARAMETER
    is_indexed = True

    def lookups(self, request: HttpRequest, model_admin: object) -> Choices:
        pk = self.value()
        user = get_user_model()._base_manager.filter(pk=pk).first() if pk else None
        return [(pk, str(user or deleted_user(pk)))] if pk else []

    def condition(self, value: str) -> Q:
        # Unlike user=, this knows that numbers can be too large for the column.
        return Q(user__pk=value)


class KeyFilter(RequestFilter):
    title = gettext_lazy("API key")
    parameter_name = KEY_PARAMETER
    is_indexed = True


FILTERS = [UserFilter, KeyFilter, OutcomeFilter, StatusFilter, MethodFilter, SourceFilter]


def deleted_user(pk: object) -> str:
    """Return the name of a deleted user: the log has only the primary key."""
    return _("%(pk)s (deleted)") % {"pk": pk}


def outcomes_that_occur() -> Collection[str]:
    """Return the outcomes in the log, or all outcomes if the log can't be read.

    An index tells whether an outcome has a row, however long the log is.
    """
    rows = ApiRequestLog.objects.order_by()
    tests = {f"has_{name}": Exists(rows.filter(outcome=name)) for name in LABELS}
    try:
        with statement_timeout(rows.db):
            found = list(rows.values(**tests)[:1])
    except DatabaseError:
        logger.exception("The outcomes in the request log can't be read. All are shown.")
        return LABELS
    return [name for name in LABELS if any(row[f"has_{name}"] for row in found)]
