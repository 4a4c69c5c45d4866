"""Translates Frappe's filters into Django's.

https://docs.frappe.io/framework/user/en/api/rest#listing-documents
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timezone
from functools import partial, reduce
from operator import or_
from typing import Any

from django.db.models import F, Q
from django.db.models.lookups import IContains
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.timezone import is_naive, make_aware
from rest_framework.exceptions import ValidationError

from .columns import PATHS, column
from .parameters import parsed, text

# In all conditions together. Older versions of SQLite allow 999 values in a statement.
MAX_VALUES = 400

_LOOKUPS = {"=": "exact", ">": "gt", "<": "lt", ">=": "gte", "<=": "lte"}
_NEGATIONS = {"!=": "=", "<>": "=", "not like": "like", "not in": "in"}


class Like(IContains):
    """SQL's LIKE, case-insensitive. % and _ are wildcards; a backslash is literal."""

    def process_rhs(self, compiler: Any, connection: Any) -> Any:
        placeholder, _ = super().process_rhs(compiler, connection)
        return placeholder, [self.rhs.replace("\\", "\\\\")]


def all_of(value: Any) -> Q:
    """Return the condition for ``filters``, which must all be met."""
    return Q(*_conditions("filters", value))


def any_of(value: Any) -> Q:
    """Return the condition for ``or_filters``. If there are any, one must be met."""
    return reduce(or_, _conditions("or_filters", value), Q())


def _conditions(name: str, value: Any) -> list[Q]:
    filters = parsed(name, value) or []
    if isinstance(filters, dict):
        filters = [
            [field, *value] if isinstance(value, list) else [field, "=", value]
            for field, value in filters.items()
        ]
    if not isinstance(filters, list) or not all(isinstance(item, list) for item in filters):
        raise ValidationError(
            f'Send {name} as a list, such as [["status", "=", "Open"]], or as an object, '
            'such as {"status": "Open"}.'
        )
    values = [item[-1] if item else None for item in filters]
    if sum(len(value) if isinstance(value, list) else 1 for value in values) > MAX_VALUES:
        raise ValidationError(f"{name} may contain at most {MAX_VALUES} values.")
    return [_condition(item) for item in filters]


def _condition(item: list[Any]) -> Q:
    if len(item) == 4:
        if item[0] != "ToDo":
            raise ValidationError("ToDos can only be filtered by fields of ToDo.")
        item = item[1:]
    if len(item) != 3 or not isinstance(item[1], str):
        raise ValidationError(
            'A filter is [field, operator, value], such as ["status", "=", "Open"].'
        )
    name, operator, value = column(item[0]), " ".join(item[1].lower().split()), item[2]
    # Rows without a value count as different.
    condition = _positive(name, _NEGATIONS.get(operator, operator), value)
    return ~condition if operator in _NEGATIONS else condition


def _positive(name: str, operator: str, value: Any) -> Q:
    path = PATHS[name]
    clean: Callable[[str, Any], Any] = _VALUES.get(name, text)
    if operator == "=" and value is None:
        return Q(**{f"{path}__isnull": True})
    if operator in _LOOKUPS:
        return Q(**{f"{path}__{_LOOKUPS[operator]}": clean(name, value)})
    if operator == "like":
        if clean is not text:
            raise ValidationError(f"{name} is not a string. Compare it with =, <, > or between.")
        return Q(Like(F(path), text(name, value)))
    if operator == "in":
        values = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        return Q(**{f"{path}__in": [clean(name, item) for item in _list(name, values)]})
    if operator == "between":
        ends = _list(name, value)
        if len(ends) != 2:
            raise ValidationError(f"{name}: between needs two values, the first and the last.")
        # A last day is included.
        clean_last = partial(_datetime, at=time.max) if clean is _datetime else clean
        first, last = clean(name, ends[0]), clean_last(name, ends[1])
        return Q(**{f"{path}__gte": first, f"{path}__lte": last})
    if operator == "is" and value in ("set", "not set"):
        unset = Q(**{f"{path}__isnull": True})
        if clean is text:
            unset |= Q(**{path: ""})
        return unset if value == "not set" else ~unset
    known = ", ".join([*_LOOKUPS, *_NEGATIONS, "like", "in", "between", "is (set, not set)"])
    raise ValidationError(f"{ascii(operator)[:80]} is not an operator. Use one of {known}.")


def _list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValidationError(f"{name}: send the values as a list.")
    return value


def _date(name: str, value: Any) -> date:
    try:
        day = parse_date(text(name, value))
    except ValueError:
        day = None
    if day is None:
        raise ValidationError(f"{name} must be a date such as 2026-01-31.")
    return day


def _datetime(name: str, value: Any, at: time = time.min) -> datetime:
    """Return ``value`` as a time; for a date, at the time ``at``."""
    string = text(name, value)
    try:
        day = parse_date(string)
        moment = datetime.combine(day, at) if day else parse_datetime(string)
        if moment is not None:
            # Naive times are in the server's time zone, as in responses. Databases can't compare
            # with times outside of the calendar in UTC.
            return (make_aware(moment) if is_naive(moment) else moment).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        pass
    raise ValidationError(f"{name} must be a time such as 2026-01-31 12:30:00.")


# How to read values that are not strings.
_VALUES: dict[str, Callable[[str, Any], Any]] = {
    "date": _date,
    "creation": _datetime,
    "modified": _datetime,
}
