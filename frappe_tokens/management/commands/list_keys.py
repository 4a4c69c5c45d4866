"""``manage.py list_keys``: API keys with their users, last use and expiry."""

from __future__ import annotations

import json
import re
from datetime import datetime
from itertools import chain, islice
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q
from django.utils import timezone

from ...base_models import AbstractApiKey
from ...models import SHOWN_FIELDS
from ..selection import (
    add_selection,
    duration,
    moment,
    named_users,
    printable,
    source_models,
    username_of,
)

COLUMNS = ["API key", "user", "name", "state", "last used", "expires", "limits", "source"]

# Rows that determine the width of the table's columns.
MEASURED = 1000


class Command(BaseCommand):
    help = "List the API keys of all SOURCES that are not revoked."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--unused-for", type=duration, metavar="90d", help="unused for this long, or never used"
        )
        parser.add_argument(
            "--expiring-in", type=duration, metavar="14d", help="expiring within this time"
        )
        add_selection(parser)
        parser.add_argument("--all", action="store_true", help="include revoked keys")
        parser.add_argument("--format", choices=["json", "text"], default="text")

    def handle(self, *args: object, **options: Any) -> None:
        spans = (options["unused_for"], options["expiring_in"])
        if options["all"] and spans != (None, None):
            raise CommandError("--all can't be combined with --unused-for or --expiring-in.")
        order = "created_at" if options["expiring_in"] is None else "expires_at"
        conditions = _conditions(options)
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
        if options["format"] == "json":
            for _source, key in found:
                # Of the names and texts that only an ApiKey has.
                missing: dict[str, object] = {"metadata": {}}
                fields = {name: getattr(key, name, missing.get(name, "")) for name in SHOWN_FIELDS}
                fields["user"] = username_of(key)
                self.stdout.write(json.dumps(fields, default=_iso))
            return
        columns = len(COLUMNS) if len(models) > 1 else len(COLUMNS) - 1
        rows = ([*_cells(key), source][:columns] for source, key in found)
        # Later rows may be wider.
        first = [COLUMNS[:columns], *islice(rows, MEASURED)]
        if len(first) == 1:
            self.stderr.write("No keys.")
            return
        widths = [max(map(len, column)) for column in zip(*first, strict=True)]
        for cells in chain(first, rows):
            self.stdout.write("  ".join(map(str.ljust, cells, widths)).rstrip())


def _conditions(options: dict[str, Any]) -> list[Q]:
    now = timezone.now()
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


def _cells(key: AbstractApiKey) -> list[str]:
    # To explain why a key doesn't work.
    inactive = key.state == "active" and (key.user is None or not key.user.is_active)
    read_only = "read-only" if key.read_only else ""
    limits = [read_only, " ".join(key.scopes), " ".join(key.allowed_ips), key.rate_limit]
    return [
        key.api_key,
        printable(username_of(key) or "-"),
        printable(getattr(key, "name", "") or "-"),
        "user inactive" if inactive else key.state,
        moment(key.last_used_at),
        moment(key.expires_at),
        printable("; ".join(filter(None, limits)) or "-"),
    ]


def _iso(at: datetime) -> str:
    # Like Django REST framework, so that both lists can be compared.
    return re.sub(r"\+00:00$", "Z", at.isoformat())
