"""The fields that a client may read, filter and sort by: these, and no way around them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import F
from rest_framework.exceptions import ValidationError

from .serializers import ToDoSerializer

# By the name on the wire, the path of the ORM. What is not in here never reaches the ORM, so
# "owner__password" is just an unknown field.
PATHS = {
    **{name: name for name in ToDoSerializer.Meta.fields},
    "owner": f"owner__{get_user_model().USERNAME_FIELD}",
}
NULLABLE = {"date"}

DEFAULT_LENGTH = 20
MAX_LENGTH = 500
MAX_START = 1_000_000


def column(value: Any) -> str:
    """The field that ``value`` names, which may be written as `tabToDo`.`status` too."""
    name = value.replace("`", "").removeprefix("tabToDo.") if isinstance(value, str) else ""
    if name not in PATHS:
        shown = ascii(value)[:80]
        raise ValidationError(f"A ToDo has no field {shown}. It has {', '.join(PATHS)}.")
    return name


def columns(asked: Any) -> list[str]:
    """The fields that ``asked`` names: a list of names, or "*" for all."""
    if not asked:
        return ["name"]
    if isinstance(asked, str):
        asked = [asked]
    if not isinstance(asked, list):
        raise ValidationError('Give fields as a list, such as ["name", "status"] or ["*"].')
    names: Iterable[str] = PATHS if "*" in asked else map(column, asked)
    return list(dict.fromkeys(names))


def ordering(value: Any) -> list[Any]:
    """What ``order_by`` asks for, such as "priority, creation desc". By default the latest first.

    Ties are broken by name, so that no page repeats what another had. An empty date comes before
    all others, as in MariaDB, on every database.
    """
    if not isinstance(value, str):
        raise ValidationError('Give order_by as a text, such as "creation desc".')
    directions: dict[str, str] = {}
    for term in (value.strip() or "modified desc").split(","):
        name, _, direction = term.strip().partition(" ")
        direction = direction.strip().lower() or "asc"
        if direction not in {"asc", "desc"}:
            raise ValidationError('order_by takes fields with "asc" or "desc" behind them.')
        directions.setdefault(column(name), direction)
    directions.setdefault("name", "asc")
    return [
        F(PATHS[name]).desc(**_nulls(name, "nulls_last"))
        if direction == "desc"
        else F(PATHS[name]).asc(**_nulls(name, "nulls_first"))
        for name, direction in directions.items()
    ]


def page(values: dict[str, Any]) -> slice:
    """The rows that ``limit_start`` and ``limit_page_length`` (or ``limit``) ask for.

    0 means all; more than MAX_LENGTH are never given at once.
    """
    start = _number("limit_start", values.get("limit_start"), default=0)
    if start > MAX_START:
        raise ValidationError(f"limit_start must be at most {MAX_START}.")
    name = "limit" if values.get("limit") not in (None, "") else "limit_page_length"
    length = _number(name, values.get(name), default=DEFAULT_LENGTH)
    return slice(start, start + min(length or MAX_LENGTH, MAX_LENGTH))


def _number(name: str, value: Any, default: int) -> int:
    if value is None or value == "":
        return default
    digits = "" if isinstance(value, bool) else str(value)
    # Nineteen digits and more do not fit into what databases count with.
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise ValidationError(f"{name} must be a whole number, 0 or more.")
    return int(digits)


def _nulls(name: str, place: str) -> dict[str, bool]:
    return {place: True} if name in NULLABLE else {}
