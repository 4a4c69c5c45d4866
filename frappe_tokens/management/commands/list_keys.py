"""``manage.py list_keys``: API keys with their users, last use and expiry."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q
from django.utils import timezone

from ...base_models import AbstractApiKey
from ...db import in_batches
from ..arguments import duration
from ..selection import moment, named_users, printable, source_models, username_of

# Rows that determine the width of the table's columns. Later rows may have wider ones.
MEASURED = 1000

Found = Iterable[tuple[str, AbstractApiKey]]


class Command(BaseCommand):
    help = "List the API keys of all SOURCES that are not revoked."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--unused-for", type=duration, metavar="90d", help="unused for this long, or never used"
        )
        parser.add_argument(
            "--expiring-in", type=duration, metavar="14d", help="expiring within this time"
        )
        parser.add_argument(
            "--user", action="append", default=[], metavar="U", help="may be repeated"
        )
        parser.add_argument("--source", metavar="NAME", help="only from this one of SOURCES")
        parser.add_argument("--all", action="store_true", help="include revoked keys")
        parser.add_argument("--format", choices=sorted(_FORMATS), default="text")

    def handle(self, *args: object, **options: Any) -> None:
        spans = (options["unused_for"], options["expiring_in"])
        if options["all"] and spans != (None, None):
            raise CommandError("--all can't be combined with --unused-for or --expiring-in.")
        now = timezone.now()
        conditions = _conditions(options, now)
        order = "created_at" if options["expiring_in"] is None else "expires_at"
        models = source_models(options["source"])
        found = (
            (source, key)
            for source, model in models.items()
            # Digests that aren't read can't be shown.
            for key in model._base_manager.defer("secret_digest", "previous_digest")
            .filter(*conditions)
            .select_related("user")
            .order_by(order, "pk")
            .iterator()
        )
        nothing = True
        for line in _FORMATS[options["format"]](found, now, len(models) > 1):
            self.stdout.write(line)
            nothing = False
        if nothing and options["format"] == "text":
            self.stderr.write("No keys.")


def _conditions(options: dict[str, Any], now: datetime) -> list[Q]:
    conditions = [] if options["all"] else [Q(revoked_at__isnull=True)]
    if options["user"]:
        conditions.append(Q(user__in=[user.pk for user in named_users(options["user"])]))
    if options["unused_for"] is not None:
        since = now - options["unused_for"]
        never = Q(last_used_at__isnull=True, created_at__lte=since)
        conditions.append(never | Q(last_used_at__lte=since))
    if options["expiring_in"] is not None:
        conditions.append(Q(expires_at__gt=now, expires_at__lte=now + options["expiring_in"]))
    return conditions


def _as_text(found: Found, now: datetime, with_source: bool) -> Iterator[str]:
    head = ["API key", "user", "name", "state", "last used", "expires", "limits"]
    rows = ([*_cells(key, now), *([source] if with_source else [])] for source, key in found)
    if with_source:
        head.append("source")
    widths = [0] * len(head)
    for batch in in_batches(rows, MEASURED):
        if not any(widths):
            batch.insert(0, head)
        columns = zip(*batch, strict=True)
        widths = [
            max(width, *map(len, column)) for width, column in zip(widths, columns, strict=True)
        ]
        for cells in batch:
            padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
            yield "  ".join(padded).rstrip()


def _cells(key: AbstractApiKey, now: datetime) -> list[str]:
    return [
        key.api_key,
        printable(username_of(key) or "-"),
        printable(getattr(key, "name", "") or "-"),
        _state(key, now),
        moment(key.last_used_at) if key.last_used_at is not None else "never",
        moment(key.expires_at) if key.expires_at is not None else "never",
        _limits(key),
    ]


def _state(key: AbstractApiKey, now: datetime) -> str:
    if key.is_revoked:
        return "revoked"
    if key.is_expired(now):
        return "expired"
    # To explain why a key doesn't work.
    return "active" if key.user is not None and key.user.is_active else "user inactive"


def _limits(key: AbstractApiKey) -> str:
    limits = [
        "read-only" if key.read_only else "",
        " ".join(key.scopes),
        " ".join(key.allowed_ips),
        key.rate_limit,
    ]
    return "; ".join(printable(limit) for limit in limits if limit) or "-"


def _as_json(found: Found, now: datetime, with_source: bool) -> Iterator[str]:
    for _source, key in found:
        yield json.dumps(
            {
                "api_key": key.api_key,
                "name": getattr(key, "name", ""),
                "user": username_of(key),
                "scopes": key.scopes,
                "read_only": key.read_only,
                "allowed_ips": key.allowed_ips,
                "rate_limit": key.rate_limit,
                "expires_at": _iso(key.expires_at),
                "revoked_at": _iso(key.revoked_at),
                "last_used_at": _iso(key.last_used_at),
                "last_used_ip": key.last_used_ip,
                "created_at": _iso(key.created_at),
            }
        )


def _iso(at: datetime | None) -> str | None:
    """Format like Django REST framework, so that both lists can be compared."""
    if at is None:
        return None
    text = at.isoformat()
    return f"{text.removesuffix('+00:00')}Z" if text.endswith("+00:00") else text


_FORMATS: dict[str, Callable[[Found, datetime, bool], Iterator[str]]] = {
    "text": _as_text,
    "json": _as_json,
}
