"""The filters of the request log. None asks the table what there is to choose from."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ...conf import conf
from ...exceptions import Reason
from ...models import ACCEPTED, OTHER, ApiRequestLog
from ..usage.summary import KEY_PARAMETER, SOURCE_PARAMETER, USER_PARAMETER

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
REFUSED = "refused"
CODES = tuple(reason.code for reason in Reason)


class RequestFilter(admin.SimpleListFilter):
    """A choice of one value.

    Attributes:
        is_indexed: whether an index finds the rows and has them in the order of time.
    """

    is_indexed = False

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, value) for value in self.values()]

    def values(self) -> list[str]:
        """What there is to choose from, where the values say enough themselves."""
        value = self.value()
        return [value] if value else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        try:
            chosen: QuerySet[Any] = queryset.filter(self.condition(value))
        except ValueError as error:
            raise IncorrectLookupParameters(error) from error
        return chosen

    def value(self) -> str | None:
        """What is chosen.

        Raises:
            IncorrectLookupParameters: nothing that a database could be asked for.
        """
        value = super().value()
        if value and "\0" in value:
            raise IncorrectLookupParameters
        return value

    def condition(self, value: str) -> Q:
        return Q(**{str(self.parameter_name): value})


class OutcomeFilter(RequestFilter):
    title = gettext_lazy("outcome")
    parameter_name = "outcome"
    is_indexed = True

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        words = [(ACCEPTED, _("Accepted")), (REFUSED, _("Refused")), (OTHER, _("Other"))]
        return [*words, *((code, code) for code in CODES)]

    def condition(self, value: str) -> Q:
        # MariaDB may have no way to compare others with this column, and raises an error.
        if not value.isascii():
            raise ValueError("Outcomes are ASCII.")
        return Q(outcome__in=CODES) if value == REFUSED else Q(outcome=value)


class StatusFilter(RequestFilter):
    title = gettext_lazy("status")
    parameter_name = "status_class"

    def values(self) -> list[str]:
        return ["2xx", "3xx", "4xx", "5xx"]

    def condition(self, value: str) -> Q:
        first = 100 * int(value[:1])
        return Q(status__gte=first, status__lt=first + 100)


class MethodFilter(RequestFilter):
    title = gettext_lazy("method")
    parameter_name = "method"

    def values(self) -> list[str]:
        return [*METHODS]


class SourceFilter(RequestFilter):
    title = gettext_lazy("source")
    parameter_name = SOURCE_PARAMETER

    def values(self) -> list[str]:
        # One that is no longer a setting is still in the log.
        return [*dict.fromkeys([*conf.SOURCES, *super().values()])]


class UserFilter(RequestFilter):
    """Shown where a link has chosen a user, so that the choice can be seen and taken back."""

    title = gettext_lazy("user")
    parameter_name = USER_PARAMETER
    is_indexed = True

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        users = get_user_model()._base_manager
        return [(pk, str(users.filter(pk=pk).first() or deleted_user(pk))) for pk in self.values()]

    def value(self) -> str | None:
        value = super().value()
        if value:
            field: Any = ApiRequestLog._meta.get_field("user")
            while field.remote_field:
                field = field.target_field
            try:
                # No database has numbers that are larger than its own; some raise errors at them.
                field.run_validators(field.to_python(value))
            except ValidationError as error:
                raise IncorrectLookupParameters(error) from error
        return value

    def condition(self, value: str) -> Q:
        return Q(user=value)


class KeyFilter(RequestFilter):
    """Shown where a link has chosen a key."""

    title = gettext_lazy("API key")
    parameter_name = KEY_PARAMETER
    is_indexed = True


FILTERS = [UserFilter, KeyFilter, OutcomeFilter, StatusFilter, MethodFilter, SourceFilter]


def deleted_user(pk: Any) -> str:
    """What a user is called of whom the log has the primary key only."""
    return _("%(pk)s (deleted)") % {"pk": pk}
