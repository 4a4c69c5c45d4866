"""Counts the requests of a key, a user or everyone, by day and outcome.

The database counts. For each kind of count, there is a covering index
(``ApiRequestLog.Meta.indexes``), so that the table itself isn't read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from datetime import timezone as datetime_timezone
from typing import Any

from django.conf import settings
from django.db import connections
from django.db.models import IntegerField, QuerySet, Sum
from django.db.models.expressions import RawSQL
from django.utils import timezone

from ..base_models import AbstractApiKey
from ..conf import conf
from ..lookup import source_model
from ..models import ACCEPTED, OTHER, ApiRequestLog
from ..types import User

DAYS = 30
DAYS_MAX = 366

# How many of the latest requests are searched for the most frequent paths.
SAMPLE = 1000


@dataclass(frozen=True, slots=True)
class Day:
    """The requests of one day, counted by outcome."""

    date: date
    outcomes: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.outcomes.values())


@dataclass(frozen=True, slots=True)
class Usage:
    """The requests of successive days, oldest first, including days without requests."""

    days: Sequence[Day]

    @property
    def outcomes(self) -> Counter[str]:
        """The requests of all days, counted by outcome."""
        return sum((Counter(day.outcomes) for day in self.days), Counter())

    @property
    def total(self) -> int:
        return sum(day.total for day in self.days)

    @property
    def refused(self) -> int:
        """How many requests this app refused."""
        return self.total - self.outcomes[ACCEPTED] - self.outcomes[OTHER]


def sources_of(key: AbstractApiKey) -> list[str]:
    """Return the names in ``SOURCES`` that find ``key``."""
    models = {name: source_model(name) for name in conf.SOURCES}
    label = key.cache_label()
    return [name for name, model in models.items() if model and model.cache_label() == label]


def requests_of_key(key: AbstractApiKey) -> QuerySet[ApiRequestLog]:
    """Return the log of requests that presented ``key``, with any secret."""
    # Another source may have the same API key.
    requests: QuerySet[ApiRequestLog] = ApiRequestLog.objects.filter(
        api_key=key.api_key, source__in=sources_of(key)
    )
    return requests


def requests_of_user(user: User) -> QuerySet[ApiRequestLog]:
    """Return the log of requests that ran as ``user``, or would have."""
    requests: QuerySet[ApiRequestLog] = ApiRequestLog.objects.filter(user=user.pk)
    return requests


def usage_of(
    requests: QuerySet[ApiRequestLog],
    days: int = DAYS,
    until: date | None = None,
    zone: tzinfo | None = None,
) -> Usage:
    """Count ``requests`` by day and outcome, with one SELECT.

    Args:
        days: how many, 1 to ``DAYS_MAX``.
        until: the last day; None is today.
        zone: the time zone in which days start; None is the current one.

    Raises:
        ValueError: the number of days is invalid, or they are outside of the calendar.
    """
    if not 1 <= days <= DAYS_MAX:
        raise ValueError(f"Count usage over 1 to {DAYS_MAX} days, not over {days}.")
    # Without USE_TZ, times are stored in the server's time zone, whichever one is active.
    stored_zone = timezone.get_default_timezone()
    zone = zone or (timezone.get_current_timezone() if settings.USE_TZ else stored_zone)
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
        .annotate(day=_day_number(starts[1:-1], requests.db))
        .values_list("day", "outcome")
        .annotate(requests=Sum("number"))
    )
    for day, outcome, number in rows:
        counted[day][outcome] = number
    return Usage([Day(day, outcomes) for day, outcomes in zip(dates, counted, strict=True)])


def local(at: datetime) -> datetime:
    """Return ``at`` in the current time zone, which it already is with ``USE_TZ = False``."""
    return timezone.localtime(at) if timezone.is_aware(at) else at


def latest_of(
    requests: QuerySet[ApiRequestLog], number: int = 5
) -> tuple[datetime | None, list[tuple[str, int]]]:
    """Return when the last of ``requests`` arrived, and the most frequent paths, with one SELECT.

    The paths are those of the latest ``SAMPLE``, with their counts.
    """
    rows = list(requests.order_by("-at").values_list("at", "path")[:SAMPLE])
    # Requests that were only counted have none.
    paths = Counter(path for _, path in rows if path).most_common(number)
    return rows[0][0] if rows else None, paths


def _start(day: date, zone: tzinfo) -> datetime:
    """Return when ``day`` starts, as the column ``at`` stores it.

    If clocks go forward at midnight, it's that moment; if they go back to it, the first one.
    """
    # In UTC, because Python compares two times in the same zone by their wall clocks.
    start = datetime.combine(day, time.min, zone).astimezone(datetime_timezone.utc)
    return start if settings.USE_TZ else timezone.make_naive(start, timezone.get_default_timezone())


def _day_number(starts: Sequence[datetime], alias: str) -> RawSQL:
    """Return how many of the sorted ``starts`` are not after ``at``.

    With a tree of comparisons: databases' functions for time zones are slower (on SQLite, they are
    written in Python), and MySQL and MariaDB first need tables for them. Compiling nested ``Case``
    expressions takes Django longer than most databases need to count.
    """
    connection = connections[alias]
    field: Any = ApiRequestLog._meta.get_field("at")
    quote = connection.ops.quote_name
    # With the table's name, because the user table may have such a column.
    column = f"{quote(ApiRequestLog._meta.db_table)}.{quote(field.column)}"
    used: list[object] = []

    def tree(low: int, high: int) -> str:
        if low == high:
            return str(low)
        middle = (low + high) // 2
        used.append(field.get_db_prep_value(starts[middle], connection))
        earlier, later = tree(low, middle), tree(middle + 1, high)
        return f"CASE WHEN {column} < %s THEN {earlier} ELSE {later} END"

    # S611 and B611 are about values in SQL. This has our own names and numbers; the times are
    # parameters.
    return RawSQL(tree(0, len(starts)), used, output_field=IntegerField())  # noqa: S611 # nosec B611
