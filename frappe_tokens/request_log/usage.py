"""How much a key, a user or everybody asked for, by day and outcome, from the request log.

The database counts, and each question that the app asks has an index with all that it reads
(``ApiRequestLog.Meta.indexes``), so that the rows themselves are not touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from datetime import timezone as datetime_timezone
from typing import Any

from django.conf import settings
from django.db.models import Count, Expression, F, IntegerField, Max, QuerySet
from django.utils import timezone

from ..base_models import AbstractApiKey
from ..conf import conf
from ..lookup import source_model
from ..models import ACCEPTED, OTHER, ApiRequestLog
from ..types import User

DAYS = 30
DAYS_MAX = 366

# How many of the latest requests the list of paths is made from.
SAMPLE = 1000


@dataclass(frozen=True, slots=True)
class Day:
    """The requests of one day: how many of each outcome."""

    date: date
    outcomes: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.outcomes.values())


@dataclass(frozen=True, slots=True)
class Usage:
    """The requests of successive days, those without any included, the oldest first."""

    days: Sequence[Day]

    @property
    def outcomes(self) -> Counter[str]:
        """How many requests there were of each outcome, in all."""
        return sum((Counter(day.outcomes) for day in self.days), Counter())

    @property
    def total(self) -> int:
        return sum(day.total for day in self.days)

    @property
    def refused(self) -> int:
        """How many were refused by us."""
        return self.total - self.outcomes[ACCEPTED] - self.outcomes[OTHER]


@dataclass(frozen=True, slots=True)
class Latest:
    """The latest requests.

    Attributes:
        at: when the last one came; None where there are none.
        paths: the most frequent paths among the latest ``SAMPLE``, with their counts.
    """

    at: datetime | None
    paths: Sequence[tuple[str, int]]


def sources_of(key: AbstractApiKey) -> list[str]:
    """The names in ``SOURCES`` that ``key`` can be found under."""
    return [name for name in conf.SOURCES if _label_of(name) == key.cache_label()]


def requests_of_key(key: AbstractApiKey) -> QuerySet[ApiRequestLog]:
    """The log of what was asked with ``key``, or with something that claimed to be it.

    Another source may have the same API key.
    """
    requests: QuerySet[ApiRequestLog] = ApiRequestLog.objects.filter(
        api_key=key.api_key, source__in=sources_of(key)
    )
    return requests


def requests_of_user(user: User) -> QuerySet[ApiRequestLog]:
    """The log of what ran as ``user``, or would have."""
    requests: QuerySet[ApiRequestLog] = ApiRequestLog.objects.filter(user=user.pk)
    return requests


def usage_of(
    requests: QuerySet[ApiRequestLog],
    days: int = DAYS,
    until: date | None = None,
    zone: tzinfo | None = None,
) -> Usage:
    """Count ``requests`` by day and outcome; one SELECT.

    Args:
        requests: of the log, filtered.
        days: how many, 1 to ``DAYS_MAX``.
        until: the last of them; None is today.
        zone: where the days begin and end; None is the present time zone.

    Raises:
        ValueError: of ``days``, or because the calendar has no such days.
    """
    if not 1 <= days <= DAYS_MAX:
        raise ValueError(f"Usage is counted over 1 to {DAYS_MAX} days, and not over {days}.")
    zone = zone or _present_zone()
    last = until or datetime.now(zone).date()
    try:
        dates = [last - timedelta(days=ago) for ago in range(days - 1, -1, -1)]
        starts = [_start(day, zone) for day in (*dates, last + timedelta(days=1))]
    except OverflowError:
        raise ValueError(f"There are no {days} days that end on {last}.") from None
    counted: list[dict[str, int]] = [{} for _ in dates]
    rows = (
        requests.filter(at__gte=starts[0], at__lt=starts[-1])
        .order_by()
        .annotate(day=_DayNumber(starts[1:-1]))
        .values_list("day", "outcome")
        .annotate(number=Count("*"))
    )
    for day, outcome, number in rows:
        counted[day][outcome] = number
    return Usage([Day(day, outcomes) for day, outcomes in zip(dates, counted, strict=True)])


def last_day_of(requests: QuerySet[ApiRequestLog]) -> date | None:
    """The day of the latest of ``requests``; None where there are none."""
    latest: datetime | None = requests.order_by().aggregate(latest=Max("at"))["latest"]
    if latest is None:
        return None
    return (timezone.localtime(latest) if timezone.is_aware(latest) else latest).date()


def latest_of(requests: QuerySet[ApiRequestLog], number: int = 5) -> Latest:
    """The latest of ``requests``, and the ``number`` most frequent paths; one SELECT."""
    rows = list(requests.order_by("-at").values_list("at", "path")[:SAMPLE])
    paths = Counter(path for _, path in rows).most_common(number)
    return Latest(rows[0][0] if rows else None, paths)


def top_paths(requests: QuerySet[ApiRequestLog], number: int = 5) -> Sequence[tuple[str, int]]:
    """The most frequent paths among the latest ``SAMPLE`` of ``requests``, with their counts."""
    return latest_of(requests, number).paths


def _label_of(source: str) -> str:
    model: Any = source_model(source)
    label: str = model.cache_label()
    return label


def _present_zone() -> tzinfo:
    # Without USE_TZ, what is stored is in the server's time zone, whichever one is active.
    return timezone.get_current_timezone() if settings.USE_TZ else timezone.get_default_timezone()


def _start(day: date, zone: tzinfo) -> datetime:
    """When ``day`` begins, as the log's ``at`` would say it.

    Where clocks are put forward at midnight, that is when they are; where they are put back to
    it, the first time.
    """
    # In UTC, because Python compares two times of one zone by what the clocks show.
    start = datetime.combine(day, time.min, zone).astimezone(datetime_timezone.utc)
    return start if settings.USE_TZ else timezone.make_naive(start, timezone.get_default_timezone())


class _DayNumber(Expression):
    """Which day ``at`` is on: how many of ``starts``, in order, it has reached.

    A tree of comparisons. The databases' own functions of dates do not know the present time zone
    everywhere (MySQL and MariaDB until they are given tables of them), take longer for each row,
    and on SQLite are Python's.
    """

    def __init__(self, starts: Sequence[datetime]) -> None:
        super().__init__(output_field=IntegerField())
        self.at: Any = F("at")
        self.starts = starts

    def get_source_expressions(self) -> list[object]:
        return [self.at]

    def set_source_expressions(self, exprs: Sequence[Any]) -> None:
        (self.at,) = exprs

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        column, params = compiler.compile(self.at)
        field = self.at.output_field
        starts = [field.get_db_prep_value(start, connection) for start in self.starts]
        used: list[object] = []

        def tree(low: int, high: int) -> str:
            """Between the days of these numbers."""
            if low == high:
                return str(low)
            middle = (low + high) // 2
            used.extend((*params, starts[middle]))
            earlier, later = tree(low, middle), tree(middle + 1, high)
            return f"CASE WHEN {column} < %s THEN {earlier} ELSE {later} END"

        return tree(0, len(starts)), tuple(used)
