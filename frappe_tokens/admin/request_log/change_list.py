"""The list of the request log, which is equally fast however long the log is.

- It counts and pages through at most ``COUNT_MAX`` rows.
- Conditions without an index are checked on the latest ``WINDOW`` rows that the indexes find.
- The dates to choose from are all those between the first and the last request.
"""

from __future__ import annotations

import copy
import ipaddress
from typing import TYPE_CHECKING, Any

from django.contrib.admin.utils import build_q_object_from_lookup_parameters
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.text import smart_split, unescape_string_literal
from django.utils.translation import gettext as _

from ...models import ApiRequestLog
from ..usage.chart import grouped
from .dates import DATE_PARTS, choices_within, chosen_date, common_parts, local, title_of
from .log_filters import RequestFilter

# Paginator takes a type argument for the type checker only.
if TYPE_CHECKING:
    _Paginator = Paginator[ApiRequestLog]
else:
    _Paginator = Paginator

COUNT_MAX = 10_000
WINDOW = 100_000


class BoundedPaginator(_Paginator):
    """Counts up to ``COUNT_MAX`` rows. No page shows what is beyond."""

    object_list: QuerySet[ApiRequestLog]

    @cached_property
    def count(self) -> int:
        return min(self._counted, COUNT_MAX)

    @property
    def has_more(self) -> bool:
        return self._counted > COUNT_MAX

    @cached_property
    def _counted(self) -> int:
        number: int = self.object_list.order_by().values("pk")[: COUNT_MAX + 1].count()
        return number


class RequestLogChangeList(ChangeList):
    """One page of the list."""

    # How many of the latest rows were checked for conditions without an index; "" if all.
    window = ""

    def get_filters(self, request: HttpRequest) -> Any:
        self._date = chosen_date(self.params)
        found = super().get_filters(request)
        self._lookups: Any = found[2]
        return found

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> QuerySet[ApiRequestLog]:
        found: QuerySet[ApiRequestLog] = super().get_queryset(request, exclude_parameters)
        indexed, others = search_for(self.query) if self.query else (Q(), Q())
        filters = [spec for spec in self.filter_specs if isinstance(spec, RequestFilter)]
        if not others and all(spec.is_indexed or not spec.value() for spec in filters):
            return found
        rows = self.root_queryset.filter(
            indexed, build_q_object_from_lookup_parameters(self._lookups)
        )
        for spec in filters:
            if spec.is_indexed:
                rows = spec.queryset(request, rows)
        for at in rows.order_by("-at").values_list("at", flat=True)[WINDOW : WINDOW + 1]:
            self.window = grouped(WINDOW)
            found = found.filter(at__gt=at)
        return found

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[ApiRequestLog]) -> list[Any]:
        # By time only. With the primary key as well, which is in no index, MariaDB would sort all
        # rows.
        ordering = super().get_ordering(request, queryset)
        return ["at"] if ordering[0] == "at" else ["-at"]

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        # The number of results is shown below the list.
        self.full_result_count = self.result_count

    @property
    def counted(self) -> ChangeList:
        """The list for the line below it, which counts requests rather than "request logs"."""
        twin = copy.copy(self)
        more = _("API requests and more, which are not listed")
        twin.opts = copy.copy(self.opts)
        twin.opts.verbose_name = _("API request")
        twin.opts.verbose_name_plural = more if self.paginator.has_more else _("API requests")
        return twin

    @property
    def is_narrowed(self) -> bool:
        """Whether the list is filtered or searched."""
        return bool(self.query or self.get_filters_params())

    @property
    def is_dated(self) -> bool:
        """Whether a date was chosen."""
        return bool(self._date)

    @cached_property
    def dates(self) -> dict[str, object]:
        """The context of Django's template of the date hierarchy, without a query for all dates."""
        span = [
            local(at).date()
            for order in ("at", "-at")
            for at in self.root_queryset.order_by(order).values_list("at", flat=True)[:1]
        ]
        if not span:
            return {"show": False}
        first, last = span
        parts = self._date or common_parts(first, last)
        choices = [
            {"title": title_of(choice), "link": self._date_link(choice)}
            for choice in choices_within(parts, first, last)
        ]
        dates: dict[str, object] = {
            "show": True,
            "field_name": _("date"),
            "choices": choices or [{"title": title_of(parts)}],
        }
        if self._date:
            wider = self._date[:-1]
            title = title_of(wider) if wider else _("All dates")
            dates["back"] = {"link": self._date_link(wider), "title": title}
        return dates

    def _date_link(self, parts: list[int]) -> str:
        return self.get_query_string(dict(zip(DATE_PARTS, parts, strict=False)), ["at__"])


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
        elif _is_address(word):
            others &= Q(ip=word)
        else:
            indexed &= _named(word)
    return indexed, others


def _is_address(word: str) -> bool:
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True


def _named(word: str) -> Q:
    """Return the condition for an API key or a username."""
    users = get_user_model()
    of_key = Q(api_key=word)
    user = users._default_manager.filter(**{users.USERNAME_FIELD: word}).order_by("pk").first()
    if user is None:
        return of_key
    of_user = Q(user=user.pk)
    # An index has either in the order of time, but not both together.
    return of_key | of_user if ApiRequestLog.objects.filter(of_key).exists() else of_user
