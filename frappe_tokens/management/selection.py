"""What commands share: arguments, the selection of keys, and formats."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Container, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from ..base_models import AbstractApiKey
from ..conf import conf
from ..keys import find_user
from ..lookup import source_model
from ..types import User

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}  # seconds
_CENTURY = 36_500 * 86_400  # dates have a maximum


def duration(text: str) -> timedelta:
    """Parse an argument such as ``90d``, ``24h``, ``30m``, ``10s`` or ``2w``."""
    match = re.fullmatch(r"([0-9]{1,9})([smhdw])", text)
    if match is None or int(match[1]) * _UNITS[match[2]] > _CENTURY:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a duration of less than a century. Enter a number and a unit, such "
            "as 90d, 24h or 30m."
        )
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def json_object(text: str) -> dict[str, object]:
    """Parse an argument such as ``{"team": "ops"}``."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(
            """this is not a JSON object. Enter one such as '{"team": "ops"}'."""
        )
    return value


def add_selection(parser: CommandParser) -> None:
    parser.add_argument(
        "--user",
        action="append",
        default=[],
        metavar="U",
        help="Keys of this user. May be repeated.",
    )
    parser.add_argument("--source", metavar="NAME", help="Only this one of SOURCES.")


def source_models(source: str | None) -> dict[str, type[AbstractApiKey]]:
    """Return the models of ``SOURCES``, or only of ``source``, by name, and each table once."""
    if source is not None and source not in conf.SOURCES:
        raise CommandError(f"There is no source {source!r}. SOURCES has {', '.join(conf.SOURCES)}.")
    names: dict[Any, str] = {}
    for name in conf.SOURCES if source is None else [source]:
        model: Any = source_model(name)
        names.setdefault(model._meta.concrete_model, name)
    # Models that extend another source share its keys.
    return {
        name: model
        for model, name in names.items()
        if not names.keys() & set(model._meta.get_parent_list())
    }


def named_users(usernames: Iterable[str], advice: str = "") -> list[User]:
    """Return the users with these names. Fail with the unknown names and ``advice``."""
    users = {username: find_user(username) for username in usernames}
    found = {username: user for username, user in users.items() if user is not None}
    check_found("user", users, found, advice)
    return list(found.values())


def check_found(kind: str, names: Iterable[str], found: Container[str], advice: str) -> None:
    """Fail with the ``names`` that were not found, and ``advice``."""
    unknown = [f"There is no {kind} {name!r}." for name in names if name not in found]
    if unknown:
        raise CommandError("\n".join([*dict.fromkeys(unknown), advice]).strip())


def username_of(key: AbstractApiKey) -> str | None:
    """Return the username of the key's user; None for an unowned key of a source."""
    return None if key.user is None else str(key.user.get_username())


def owner_of(key: AbstractApiKey) -> str:
    """Return ``ada (ci)``: the username and the key's name, if any, for a terminal."""
    name = getattr(key, "name", "")
    return printable(username_of(key) or "-") + (f" ({printable(name)})" if name else "")


def printable(text: str) -> str:
    """Return ``text`` so that it prints on one line."""
    return text if text.isprintable() else ascii(text)


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def moment(at: datetime | None) -> str:
    """Format a date and time, with the time zone if there is one; "never" if it is None."""
    return "never" if at is None else f"{at:%Y-%m-%d %H:%M %Z}".rstrip()
