"""``manage.py prune_request_log --older-than 90d``: deletes old rows of the request log."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, connections, router, transaction
from django.db.models import QuerySet
from django.utils import timezone

from ...db import in_batches
from ...models import ApiRequestLog
from ..arguments import duration
from ..progress import progress_bar
from ..selection import moment

# Locks take some tens of milliseconds, on rows that nobody else writes.
BATCH_SIZE = 2000

INTERRUPTED = 130  # the exit status of shells after Ctrl-C


class Command(BaseCommand):
    help = (
        "Delete old requests from the request log, in batches with their own transactions. "
        "If it is interrupted, run it again to continue."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--older-than", type=duration, metavar="90d", help="minimum age; required"
        )
        parser.add_argument(
            "--batch-size",
            type=_count,
            default=BATCH_SIZE,
            metavar="N",
            help=f"rows per transaction; default: {BATCH_SIZE}",
        )

    def handle(self, *args: object, **options: Any) -> None:
        age: timedelta | None = options["older_than"]
        if age is None:
            raise CommandError("Enter a minimum age, for example --older-than 90d.")
        if age <= timedelta(0):
            raise CommandError("That would delete the whole log. Use 1s to do that.")
        before = timezone.now() - age
        alias = router.db_for_write(ApiRequestLog)
        old = ApiRequestLog._base_manager.using(alias).filter(at__lt=before)
        # Counting takes a while too.
        total = old.count() if options["verbosity"] and self.stderr.isatty() else 0
        deleted = 0
        try:
            with progress_bar(self.stderr, total, options["verbosity"]) as show:
                for count in _delete(old, alias, options["batch_size"]):
                    deleted += count
                    show(deleted)
        except KeyboardInterrupt:
            self.stderr.write(
                f"Interrupted. Deleted {_requests(deleted)}; run it again to continue."
            )
            sys.exit(INTERRUPTED)
        except OperationalError as error:
            raise CommandError(
                f"The database failed to delete rows: {str(error).strip()}\n"
                f"Deleted {_requests(deleted)}; run it again to continue."
            ) from error
        self.stdout.write(f"Deleted {_requests(deleted)} from before {moment(before)}.")


def _delete(old: QuerySet[ApiRequestLog], alias: str, size: int) -> Iterator[int]:
    """Delete ``old`` in batches, oldest first, and yield the size of each after its commit."""
    limit = connections[alias].features.max_query_params
    # One for the primary key of each row, and three for times.
    limited = size if limit is None else min(size, limit - 3)
    since: datetime | None = None
    seen: list[tuple[object, datetime]] = []
    while True:
        # Start where the last batch ended, because the database may still have to scan deleted
        # rows. Read outside the transaction: SQLite can't write in one that has read before another
        # process has written.
        rest = old if since is None else old.filter(at__gte=since)
        rows = list(rest.order_by("at").values_list("pk", "at")[:size])
        # The same rows again: a rule of the database, or an outer transaction, keeps them.
        if not rows or rows == seen:
            return
        deleted = 0
        with transaction.atomic(using=alias):
            for batch in in_batches(rows, limited):
                # The time selects a partition. Another process may have deleted rows.
                stored = old.filter(pk__in=[pk for pk, _ in batch])
                stored = stored.filter(at__gte=batch[0][1], at__lte=batch[-1][1])
                # delete() reads all rows first if its signals have receivers.
                deleted += stored._raw_delete(alias)
        since, seen = rows[-1][1], rows
        yield deleted


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError("Enter a number from 1 to 1000000.")
    return int(text)


def _requests(count: int) -> str:
    return f"{count} request{'' if count == 1 else 's'}"
