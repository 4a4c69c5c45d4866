"""``manage.py list_keys``: API keys with their users, last use and expiry."""

from __future__ import annotations

import csv
from itertools import chain, islice
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q
from django.utils import timezone

from ...base_models import AbstractApiKey
from ...keys import as_json, csv_row, expiring_within, shown_fields, unused_for
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
            "--unused-for",
            type=duration,
            metavar="90d",
            help="Last used at least this long ago; or never used, and their secret is that old.",
        )
        parser.add_argument(
            "--expiring-in", type=duration, metavar="14d", help="Working, but expiring this soon."
        )
        add_selection(parser)
        parser.add_argument("--all", action="store_true", help="Include revoked keys.")
        parser.add_argument(
            "--format",
            choices=["csv", "json", "text"],
            default="text",
            help="json: an object per line; csv: a row per key. Default: text.",
        )

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
            # What isn't read can't be shown.
            for key in model._base_manager.defer("secret_digest", "previous_digest")
            .filter(*conditions)
            .select_related("user")
            .order_by(order, "pk")
            .iterator()
        )
        if options["format"] == "json":
            for _source, key in found:
                self.stdout.write(as_json(shown_fields(key)))
            return
        if options["format"] == "csv":
            writer = csv.DictWriter(self.stdout, SHOWN_FIELDS)
            writer.writeheader()
            for _source, key in found:
                writer.writerow(csv_row(key))
            return
        columns = len(COLUMNS) if len(models) > 1 else len(COLUMNS) - 1
        rows = ([*_cells(key), source][:columns] for source, key in found)
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
        conditions.append(unused_for(options["unused_for"], now))
    if options["expiring_in"] is not None:
        conditions.append(expiring_within(options["expiring_in"], now))
    return conditions


def _cells(key: AbstractApiKey) -> list[str]:
    inactive = key.state == "active" and (key.user is None or not key.user.is_active)
    read_only = "read-only" if key.read_only else ""
    limits = [read_only, " ".join(key.scopes), " ".join(key.allowed_ips), key.rate_limit]
    return [
        key.api_key,
        printable(username_of(key) or "-"),
        printable(str(getattr(key, "name", "") or "-")),
        "user inactive" if inactive else key.state,
        moment(key.last_used_at),
        moment(key.expires_at),
        printable("; ".join(filter(None, limits)) or "-"),
    ]
