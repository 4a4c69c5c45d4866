"""The request log's list, at the same speed however long the log is.

- It counts, and turns pages, up to ``COUNT_MAX`` rows.
- What no index finds is looked for among the latest ``WINDOW`` of the rows that the indexes find.
- The dates to choose from are all those between the first and the last request.
"""

from __future__ import annotations

import copy
import ipaddress
from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from django.contrib.admin.utils import build_q_object_from_lookup_parameters
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.text import smart_split, unescape_string_literal
from django.utils.translation import gettext as _

from ...models import ApiRequestLog
from ..usage.chart import grouped
from .dates import DATE_PARTS, choices_within, chosen_date, common_parts, title_of

# Paginator takes a type argument for the type checker only.
if TYPE_CHECKING:
    _Paginator = Paginator[ApiRequestLog]
else:
    _Paginator = Paginator

COUNT_MAX = 10_000
WINDOW = 100_000


class BoundedPaginator(_Paginator):
    """Counts no further than ``COUNT_MAX``; what is beyond is on no page."""

    @cached_property
    def count(self) -> int:
        return min(self._counted, COUNT_MAX)

    @property
    def has_more(self) -> bool:
        """Whether there are rows beyond."""
        return self._counted > COUNT_MAX

    @cached_property
    def _counted(self) -> int:
        rows: Any = self.object_list
        number: int = rows.order_by().values("pk")[: COUNT_MAX + 1].count()
        return number


class RequestLogChangeList(ChangeList):
    """The rows of one page, and what is said around them."""

    # How many of the latest rows were looked at for what no index finds; "" for all.
    window = ""

    def get_filters(self, request: HttpRequest) -> Any:
        self._chosen = chosen_date(self.params)
        found = super().get_filters(request)
        self._lookups: dict[str, Any] = found[2]
        return found

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: Any = None
    ) -> QuerySet[ApiRequestLog]:
        found: QuerySet[ApiRequestLog] = super().get_queryset(request, exclude_parameters)
        named, looked_for = search_for(self.query) if self.query else (Q(), Q())
        specs: list[Any] = self.filter_specs
        if not looked_for and all(spec.is_indexed or not spec.value() for spec in specs):
            return found
        rows = self.root_queryset.filter(
            named, build_q_object_from_lookup_parameters(self._lookups)
        )
        for spec in specs:
            if spec.is_indexed:
                rows = spec.queryset(request, rows)
        for at in rows.order_by("-at").values_list("at", flat=True)[WINDOW : WINDOW + 1]:
            self.window = grouped(WINDOW)
            found = found.filter(at__gt=at)
        return found

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        # By time alone. With the primary key behind it, which is in no index, MariaDB would sort
        # all of the rows.
        ordering = super().get_ordering(request, queryset)
        return ["at"] if ordering[0] == "at" else ["-at"]

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        # The number of results is said below the list, with what is not in it.
        self.full_result_count = self.result_count

    @property
    def counted(self) -> Any:
        """The same list, for the line below it: a number of requests, and not of request logs."""
        names: Any = SimpleNamespace(
            verbose_name=_("API request"),
            verbose_name_plural=_("API requests and more, which are not listed")
            if self.paginator.has_more
            else _("API requests"),
        )
        twin = copy.copy(self)
        twin.opts = names
        return twin

    @property
    def is_narrowed(self) -> bool:
        """Whether not every request is asked for."""
        return bool(self.query or self.get_filters_params())

    @property
    def is_dated(self) -> bool:
        """Whether requests of some time are asked for."""
        return bool(self._chosen)

    @cached_property
    def dates(self) -> dict[str, Any]:
        """What Django's template of the date hierarchy shows, without asking for every date."""
        span = [
            timezone.localtime(at).date() if timezone.is_aware(at) else at.date()
            for order in ("at", "-at")
            for at in self.root_queryset.order_by(order).values_list("at", flat=True)[:1]
        ]
        if not span:
            return {"show": False}
        first, last = span
        chosen = self._chosen
        parts = chosen or common_parts(first, last)
        choices = [
            {"title": title_of(choice), "link": self._date_link(choice)}
            for choice in choices_within(parts, first, last)
        ]
        dates: dict[str, Any] = {
            "show": True,
            "field_name": _("date"),
            "choices": choices or [{"title": title_of(parts)}],
        }
        if chosen:
            wider = chosen[:-1]
            title = title_of(wider) if wider else _("All dates")
            dates["back"] = {"link": self._date_link(wider), "title": title}
        return dates

    def _date_link(self, parts: list[int]) -> str:
        return self.get_query_string(dict(zip(DATE_PARTS, parts, strict=False)), ["at__"])


def search_for(text: str) -> tuple[Q, Q]:
    """The conditions of a search: those that an index answers, and the others.

    Each word of ``text`` is the beginning of a path, an address, a username or an API key.
    """
    indexed, others = Q(), Q()
    for word in _words(text):
        if word.startswith("/"):
            others &= Q(path__startswith=word)
        elif _is_address(word):
            others &= Q(ip=word)
        else:
            indexed &= _named(word)
    return indexed, others


def _words(text: str) -> Iterator[str]:
    for word in smart_split(text):
        if word[0] in "\"'" and word[0] == word[-1] and len(word) > 1:
            yield unescape_string_literal(word)
        else:
            yield word


def _is_address(word: str) -> bool:
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True


def _named(word: str) -> Q:
    users = get_user_model()
    of_key = Q(api_key=word)
    user = users._default_manager.filter(**{users.USERNAME_FIELD: word}).order_by("pk").first()
    if user is None:
        return of_key
    # Either alone is in the order of time in an index, and both together are not.
    if ApiRequestLog.objects.filter(of_key).exists():
        return of_key | Q(user=user.pk)
    return Q(user=user.pk)
