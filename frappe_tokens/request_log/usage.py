"""Counts the requests of a key, a user or everyone, by day and outcome.

The database counts. For each way in which the app counts, an index contains everything that it
reads (``ApiRequestLog.Meta.indexes``), so that the rows themselves aren't read.
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
from django.db.models import IntegerField, Q, QuerySet, Sum
from django.db.models.expressions import RawSQL
from django.utils import timezone

from ..base_models import AbstractApiKey
from ..conf import conf
from ..lookup import source_model
from ..models import ACCEPTED, OTHER, ApiRequestLog
from ..types import User

DAYS = 30
DAYS_MAX = 366

# The most frequent paths are those among so many of the latest requests.
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
    """The requests of successive days, including days without any, oldest first."""

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
    """Return the names in ``SOURCES`` under which ``key`` can be found."""
    models = {name: source_model(name) for name in conf.SOURCES}
    label = key.cache_label()
    return [name for name, model in models.items() if model and model.cache_label() == label]


def requests_of_key(key: AbstractApiKey) -> QuerySet[ApiRequestLog]:
    """Return the log of requests that presented ``key``, with any secret."""
    # Another source may have the same API key.
    of_key = Q(api_key=key.api_key, source__in=sources_of(key))
    requests: QuerySet[ApiRequestLog] = ApiRequestLog.objects.filter(of_key)
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
        ValueError: the number of days is invalid, or the calendar has no such days.
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
    """Return ``at`` in the current time zone. With ``USE_TZ = False`` it already is."""
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

    If clocks are put forward at midnight, that moment; if they are put back to it, the first one.
    """
    # In UTC, because Python compares two times of one zone by their clocks.
    start = datetime.combine(day, time.min, zone).astimezone(datetime_timezone.utc)
    return start if settings.USE_TZ else timezone.make_naive(start, timezone.get_default_timezone())


def _day_number(starts: Sequence[datetime], alias: str) -> RawSQL:
    """Return the number of the ``starts``, in order, that ``at`` has reached.

    A tree of comparisons, because databases don't always know the time zone (MySQL and MariaDB not
    until they are given tables), take longer for each row, and use Python for it on SQLite. Django
    would take longer to compile a tree of Case than most databases to count.
    """
    connection = connections[alias]
    field: Any = ApiRequestLog._meta.get_field("at")
    quote = connection.ops.quote_name
    # With the table, because a project's users may have a column of this name.
    column = f"{quote(ApiRequestLog._meta.db_table)}.{quote(field.column)}"
    used: list[object] = []

    def tree(low: int, high: int) -> str:
        if low == high:
            return str(low)
        middle = (low + high) // 2
        used.append(field.get_db_prep_value(starts[middle], connection))
        earlier, later = tree(low, middle), tree(middle + 1, high)
        return f"CASE WHEN {column} < %s THEN {earlier} ELSE {later} END"

    # S611 fears values in the SQL. It has names of ours and numbers; the times are parameters.
    return RawSQL(tree(0, len(starts)), used, output_field=IntegerField())  # noqa: S611
