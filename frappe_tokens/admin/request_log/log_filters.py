"""The filters of the request log. None of them queries the table for its choices."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import ForeignKey, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ...conf import conf
from ...exceptions import Reason
from ...models import ACCEPTED, OTHER, ApiRequestLog
from ..usage.summary import KEY_PARAMETER, SOURCE_PARAMETER, USER_PARAMETER

REFUSED = "refused"
CODES = tuple(reason.code for reason in Reason)


class RequestFilter(admin.SimpleListFilter):
    """A choice of one value.

    Attributes:
        is_indexed: whether an index finds the rows in the order of time.
        values: the choices, if the values are readable; None for the current one only.
    """

    is_indexed = False
    parameter_name: str
    values: tuple[str, ...] | None = None

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        value = self.value()
        values = self.values if self.values is not None else (value,) if value else ()
        return [(choice, choice) for choice in values]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[ApiRequestLog]
    ) -> QuerySet[ApiRequestLog]:
        value = self.value()
        if not value:
            return queryset
        try:
            rows: QuerySet[ApiRequestLog] = queryset.filter(self.condition(value))
        except ValueError as error:
            raise IncorrectLookupParameters(error) from error
        return rows

    def value(self) -> str | None:
        """Return what is chosen.

        Raises:
            IncorrectLookupParameters: no database accepts the value.
        """
        value = super().value()
        if value and "\0" in value:
            raise IncorrectLookupParameters
        return value

    def condition(self, value: str) -> Q:
        return Q(**{self.parameter_name: value})


class OutcomeFilter(RequestFilter):
    title = gettext_lazy("outcome")
    parameter_name = "outcome"
    is_indexed = True

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        groups = [(ACCEPTED, _("Accepted")), (REFUSED, _("Refused")), (OTHER, _("Other"))]
        return [*groups, *((code, code) for code in CODES)]

    def condition(self, value: str) -> Q:
        # MariaDB raises an error if it can't compare a character with the column's.
        if not value.isascii():
            raise ValueError("Outcomes are ASCII.")
        return Q(outcome__in=CODES) if value == REFUSED else Q(outcome=value)


class StatusFilter(RequestFilter):
    title = gettext_lazy("status")
    parameter_name = "status_class"
    values = ("2xx", "3xx", "4xx", "5xx")

    def condition(self, value: str) -> Q:
        first = 100 * int(value[:1])
        return Q(status__gte=first, status__lt=first + 100)


class MethodFilter(RequestFilter):
    title = gettext_lazy("method")
    parameter_name = "method"
    values = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class SourceFilter(RequestFilter):
    title = gettext_lazy("source")
    parameter_name = SOURCE_PARAMETER

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        # A source that was removed from the settings is still in the log.
        chosen = super().lookups(request, model_admin)
        return [*dict.fromkeys([*((name, name) for name in conf.SOURCES), *chosen])]


class UserFilter(RequestFilter):
    """Shown if a link has chosen a user, so that the choice can be seen and cleared."""

    title = gettext_lazy("user")
    parameter_name = USER_PARAMETER
    is_indexed = True

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        users = get_user_model()._base_manager
        return [
            (pk, str(users.filter(pk=pk).first() or deleted_user(pk)))
            for pk, _pk in super().lookups(request, model_admin)
        ]

    def value(self) -> str | None:
        value = super().value()
        if value:
            field: Any = ApiRequestLog._meta.get_field("user")
            while isinstance(field, ForeignKey):
                field = field.target_field
            try:
                # Numbers that are too large raise errors in some databases.
                field.run_validators(field.to_python(value))
            except ValidationError as error:
                raise IncorrectLookupParameters(error) from error
        return value

    def condition(self, value: str) -> Q:
        return Q(user=value)


class KeyFilter(RequestFilter):
    """Shown if a link has chosen a key."""

    title = gettext_lazy("API key")
    parameter_name = KEY_PARAMETER
    is_indexed = True


FILTERS = [UserFilter, KeyFilter, OutcomeFilter, StatusFilter, MethodFilter, SourceFilter]


def deleted_user(pk: object) -> str:
    """Return what to call a user of whom only the primary key is left in the log."""
    return _("%(pk)s (deleted)") % {"pk": pk}
