"""The dates that the request log can be filtered by: a year, a month or a day."""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from datetime import MAXYEAR, MINYEAR, date, datetime
from itertools import takewhile

from django.contrib.admin.options import IncorrectLookupParameters
from django.utils import formats, timezone
from django.utils.text import capfirst

DATE_PARTS = ("at__year", "at__month", "at__day")
# These years have no neighbours, and no beginning and end in every time zone.
_END_YEARS = ([MINYEAR], [MAXYEAR])


def local(at: datetime) -> datetime:
    """Return ``at`` in the current time zone. With ``USE_TZ = False`` it already is."""
    return timezone.localtime(at) if timezone.is_aware(at) else at


def chosen_date(params: Mapping[str, str]) -> list[int]:
    """Return the year, or year and month, or date in ``params``; [] if there is none.

    Raises:
        IncorrectLookupParameters: the date doesn't exist, or lacks its year or month.
    """
    try:
        parts = [int(params[part]) for part in takewhile(params.__contains__, DATE_PARTS)]
        if parts:
            date(*parts, *[1] * (3 - len(parts)))
    except (ValueError, OverflowError) as error:
        raise IncorrectLookupParameters(error) from error
    if len(parts) < sum(part in params for part in DATE_PARTS) or parts[:1] in _END_YEARS:
        raise IncorrectLookupParameters
    return parts


def common_parts(first: date, last: date) -> list[int]:
    """Return the year and month, or the year, that all dates share."""
    if first.year != last.year:
        return []
    return [first.year, first.month] if first.month == last.month else [first.year]


def choices_within(parts: list[int], first: date, last: date) -> list[list[int]]:
    """Return what can be chosen next: years, the months of a year or the days of a month."""
    match parts:
        case []:
            numbers: range = range(first.year, last.year + 1)
        case [_year]:
            numbers = range(1, 13)
        case [year, month]:
            numbers = range(1, calendar.monthrange(year, month)[1] + 1)
        case _:
            return []
    earliest, latest = ([day.year, day.month, day.day] for day in (first, last))
    level = len(parts) + 1
    choices = [[*parts, number] for number in numbers]
    return [choice for choice in choices if earliest[:level] <= choice <= latest[:level]]


def title_of(parts: list[int]) -> str:
    match parts:
        case [year]:
            return str(year)
        case [year, month]:
            return capfirst(formats.date_format(date(year, month, 1), "YEAR_MONTH_FORMAT"))
        case _:
            return capfirst(formats.date_format(date(*parts), "MONTH_DAY_FORMAT"))
