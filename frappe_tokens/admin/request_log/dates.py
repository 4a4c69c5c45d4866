"""The dates that the request log can be narrowed down to: a year, a month of it, a day of that."""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from datetime import MAXYEAR, MINYEAR, date
from itertools import takewhile
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.utils import formats
from django.utils.text import capfirst

DATE_PARTS = ("at__year", "at__month", "at__day")
# They have no year beside them, nor a beginning and an end in every time zone.
_ENDS_OF_TIME = ([MINYEAR], [MAXYEAR])


def chosen_date(params: Mapping[str, Any]) -> list[int]:
    """The year, or year and month, or date that ``params`` ask for; [] where they ask for none.

    Raises:
        IncorrectLookupParameters: there is no such date, or a part of it alone is asked for.
    """
    try:
        parts = [int(params[part]) for part in takewhile(params.__contains__, DATE_PARTS)]
        if parts:
            date(*parts, *[1] * (3 - len(parts)))
    except (ValueError, OverflowError) as error:
        raise IncorrectLookupParameters(error) from error
    if len(parts) < sum(part in params for part in DATE_PARTS) or parts[:1] in _ENDS_OF_TIME:
        raise IncorrectLookupParameters
    return parts


def common_parts(first: date, last: date) -> list[int]:
    """The year and month, or the year, that all dates share."""
    if first.year != last.year:
        return []
    return [first.year, first.month] if first.month == last.month else [first.year]


def choices_within(parts: list[int], first: date, last: date) -> list[list[int]]:
    """What is next to choose: years, the months of a year or the days of a month."""
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
