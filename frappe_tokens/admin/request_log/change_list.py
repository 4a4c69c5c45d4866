"""The list of the request log, which is equally fast however long the log is.

- It counts and pages through at most ``COUNT_MAX`` rows.
- Conditions without an index are checked on the latest ``WINDOW`` rows that the indexes find.
- The dates to choose from are all those between the first and the last request.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from datetime import MAXYEAR, MINYEAR, date, datetime, timedelta
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import build_q_object_from_lookup_parameters
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.text import smart_split, unescape_string_literal
from django.utils.translation import gettext as _

from ...addresses import parse_address
from ...models import ApiRequestLog
from ...request_log import local
from ..bases import Paginator
from ..usage.chart import DATE_PARAMETERS, grouped
from ..usage.summary import render_usage

COUNT_MAX = 10_000
WINDOW = 100_000


class BoundedPaginator(Paginator):
    """Counts up to ``COUNT_MAX`` rows. No page shows what is beyond."""

    @cached_property
    def count(self) -> int:
        return min(self.counted, COUNT_MAX)

    @cached_property
    def counted(self) -> int:
        """The number of rows, or ``COUNT_MAX`` + 1 if there are more."""
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[: COUNT_MAX + 1].count())


class RequestLogChangeList(ChangeList):
    """One page of the list."""

    # How many of the latest rows were checked for conditions without an index; "" if all.
    window = ""

    def get_filters(self, request: HttpRequest) -> Any:
        self.date = [int(self.params[part]) for part in DATE_PARAMETERS if part in self.params]
        # Only a date with its year has an index. In some time zones, the first year has no
        # beginning, and the last one no end.
        has_gap = any(part not in self.params for part in DATE_PARAMETERS[: len(self.date)])
        if has_gap or self.date[:1] in ([MINYEAR], [MAXYEAR]):
            raise ValueError(self.date)
        found = super().get_filters(request)
        self._lookups: Any = found[2]
        return found

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> QuerySet[ApiRequestLog]:
        try:
            found: QuerySet[ApiRequestLog] = super().get_queryset(request, exclude_parameters)
        except (ValueError, OverflowError, ValidationError) as error:
            raise IncorrectLookupParameters(error) from error
        indexed, others = search_for(self.query)
        filters: list[Any] = self.filter_specs
        if not others and all(spec.is_indexed or not spec.value() for spec in filters):
            return found
        dates = build_q_object_from_lookup_parameters(self._lookups)
        rows = self.root_queryset.filter(indexed, dates)
        for spec in filters:
            if spec.is_indexed:
                rows = spec.queryset(request, rows)
        for at in rows.order_by("-at").values_list("at", flat=True)[WINDOW : WINDOW + 1]:
            self.window = grouped(WINDOW)
            found = found.filter(at__gt=at)
        return found

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[ApiRequestLog]) -> list[Any]:
        # By time only, which has an index. With the primary key as well, MariaDB would sort all
        # rows.
        return ["at"] if super().get_ordering(request, queryset)[0] == "at" else ["-at"]

    @property
    def counted(self) -> Any:
        """The list for the line below it, which counts rows rather than "request logs"."""
        twin: Any = copy.copy(self)
        twin.opts = copy.copy(self.opts)
        twin.opts.verbose_name, plural = _("row"), _("rows")
        more = _("rows; more are not listed")
        twin.opts.verbose_name_plural = more if self.paginator.counted > COUNT_MAX else plural
        if self.result_count > 1:
            twin.result_count = grouped(self.result_count)
        return twin

    @property
    def searched(self) -> ChangeList:
        """The list for the search form, without the count, which the line below the list has."""
        twin = copy.copy(self)
        twin.full_result_count = self.result_count
        return twin

    @property
    def usage(self) -> str:
        """The chart of the requests; with a date, of the thirty days up to the newest."""
        is_narrowed = self.query or self.get_filters_params()
        nothing = _("No request matches this choice.") if is_narrowed else ""
        return render_usage(
            self.queryset, self._link, nothing=nothing, until_latest=bool(self.date)
        )

    def _link(self, parameters: Mapping[str, object]) -> str:
        """Return the URL of this list with these parameters too, without a chosen page."""
        return str(self.get_query_string(dict(parameters), [PAGE_VAR]))

    @property
    def dated(self) -> Any:
        """The list for Django's date hierarchy, without its query of all rows for their dates."""
        twin: Any = copy.copy(self)
        first, last = (
            self.root_queryset.order_by(order).values_list("at", flat=True).first()
            for order in ("at", "-at")
        )
        twin.queryset = _Dates(first, last, self.date)
        return twin


class _Dates:
    """Stands for the rows in Django's date hierarchy: all dates from the first to the last."""

    def __init__(self, first: datetime | None, last: datetime | None, chosen: list[int]) -> None:
        self._span = {"first": first, "last": last}
        self._days = []
        if first is not None and last is not None:
            start, end = local(first).date(), local(last).date()
            days = (start + timedelta(number) for number in range((end - start).days + 1))
            self._days = [day for day in days if [*day.timetuple()[: len(chosen)]] == chosen]

    def aggregate(self, **_span: object) -> dict[str, datetime | None]:
        return self._span

    def datetimes(self, _field: str, kind: str) -> Collection[date]:
        """Return a day of each year or month, or all days, among those with the chosen date."""
        length = ["year", "month", "day"].index(kind) + 1
        return {day.timetuple()[:length]: day for day in self._days}.values()


def search_for(text: str) -> tuple[Q, Q]:
    """Return the conditions of a search: those with an index, and the others.

    Each word of ``text`` is the beginning of a path, an address, a username or an API key.
    """
    indexed, others = Q(), Q()
    for word in smart_split(text):
        if len(word) > 1 and word[0] in "\"'" and word[0] == word[-1]:
            word = unescape_string_literal(word)
        if word.startswith("/"):
            others &= Q(path__startswith=word)
        elif address := parse_address(word):
            others &= Q(ip=str(address))
        else:
            indexed &= _named(word)
    return indexed, others


def _named(word: str) -> Q:
    """Return the condition for an API key or a username."""
    users = get_user_model()
    of_key = Q(api_key=word)
    user = users._default_manager.filter(**{users.USERNAME_FIELD: word}).order_by("pk").first()
    if user is None:
        return of_key
    of_user = Q(user=user.pk)
    # An index finds either in the order of time, but not both together.
    return of_key | of_user if ApiRequestLog.objects.filter(of_key).exists() else of_user
