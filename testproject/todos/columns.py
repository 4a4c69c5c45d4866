"""The only fields that a client may read, filter and sort by."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import F
from rest_framework.exceptions import ValidationError

from .serializers import ToDoSerializer

# Fields, and their paths in the ORM. Nothing else reaches the ORM: "owner__password" is an unknown
# field.
PATHS = {
    **{name: name for name in ToDoSerializer.Meta.fields},
    "owner": f"owner__{get_user_model().USERNAME_FIELD}",
}

DEFAULT_LENGTH = 20
MAX_LENGTH = 500
MAX_START = 1_000_000


def column(value: Any) -> str:
    """Return the name of a field. Clients may also send it as `tabToDo`.`status`."""
    name = value.replace("`", "").removeprefix("tabToDo.") if isinstance(value, str) else ""
    if name not in PATHS:
        shown = ascii(value)[:80]
        raise ValidationError(f"A ToDo has no field {shown}. It has {', '.join(PATHS)}.")
    return name


def columns(fields: Any) -> list[str]:
    """Return the names of the fields in a list; "*" stands for all."""
    names: Any = fields or ["name"]
    if isinstance(names, str):
        names = [names]
    if not isinstance(names, list):
        raise ValidationError('Send fields as a list, such as ["name", "status"] or ["*"].')
    return list(PATHS) if "*" in names else list(dict.fromkeys(map(column, names)))


def ordering(value: Any) -> list[Any]:
    """Return the order for an ``order_by`` such as "priority, creation desc".

    By default, the latest come first. The name is the last criterion, so that pages don't overlap.
    On every database, rows without a date come first, as in MariaDB.
    """
    if not isinstance(value, str):
        raise ValidationError('Send order_by as a string, such as "creation desc".')
    directions: dict[str, str] = {}
    for term in (value.strip() or "modified desc").split(","):
        name, _, direction = term.strip().partition(" ")
        direction = direction.strip().lower() or "asc"
        if direction not in {"asc", "desc"}:
            raise ValidationError('In order_by, a field may be followed by "asc" or "desc".')
        directions.setdefault(column(name), direction)
    directions.setdefault("name", "asc")
    return [
        F(PATHS[name]).desc(nulls_last=True)
        if direction == "desc"
        else F(PATHS[name]).asc(nulls_first=True)
        for name, direction in directions.items()
    ]


def page(values: dict[str, Any]) -> tuple[int, int]:
    """Return where a page starts, and its length.

    They are ``start`` and ``limit`` in Frappe's v2, and ``limit_start`` and ``limit_page_length``
    (or ``limit``) in v1. A length of 0 means all, up to MAX_LENGTH.
    """
    start = _number(values, "start", "limit_start", default=0, highest=MAX_START)
    length = _number(values, "limit", "limit_page_length", default=DEFAULT_LENGTH)
    return start, min(length or MAX_LENGTH, MAX_LENGTH)


def _number(values: dict[str, Any], *names: str, default: int, highest: int | None = None) -> int:
    """Return the number under the first of ``names`` that has one."""
    name = next((name for name in names if values.get(name) not in (None, "")), None)
    if name is None:
        return default
    digits = str(values[name])
    # Databases can't handle nineteen digits or more.
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise ValidationError(f"{name} must be a whole number, 0 or more.")
    if highest is not None and int(digits) > highest:
        raise ValidationError(f"{name} must be at most {highest}.")
    return int(digits)
