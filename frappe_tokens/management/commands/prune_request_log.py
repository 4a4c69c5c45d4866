"""``manage.py prune_request_log --older-than 90d``: deletes old rows of the request log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, router, transaction
from django.db.models import QuerySet
from django.utils import timezone

from ...db import in_batches
from ...models import ApiRequestLog
from ..progress import progress_bar
from ..selection import counted, duration, moment

# Locks take some tens of milliseconds, on rows that nobody else writes.
BATCH_SIZE = 2000
BATCH_MAX = 1_000_000

# Rows per statement: older SQLite allows 999 parameters.
STATEMENT_SIZE = 500

INTERRUPTED = 130  # the exit status of shells after Ctrl-C


class Command(BaseCommand):
    help = (
        "Delete old requests from the request log, in batches with their own transactions. "
        "If it is interrupted, run it again to continue."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--older-than",
            type=duration,
            default=timedelta(0),
            metavar="90d",
            help="minimum age; required",
        )
        parser.add_argument(
            "--batch-size",
            type=int,
            default=BATCH_SIZE,
            metavar="N",
            help=f"rows per transaction; default: {BATCH_SIZE}",
        )

    def handle(self, *args: object, **options: Any) -> None:
        if options["older_than"] <= timedelta(0):
            # Zero would delete the whole log.
            raise CommandError("Enter a minimum age, for example --older-than 90d.")
        if not 1 <= options["batch_size"] <= BATCH_MAX:
            raise CommandError(f"The --batch-size must be 1 to {BATCH_MAX}.")
        before = timezone.now() - options["older_than"]
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
        except (KeyboardInterrupt, OperationalError) as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            why = "Interrupted." if interrupted else f"The database failed: {str(error).strip()}"
            raise CommandError(
                f"{why}\nDeleted {counted(deleted, 'request')}; run it again to continue.",
                returncode=INTERRUPTED if interrupted else 1,
            ) from error
        self.stdout.write(f"Deleted {counted(deleted, 'request')} from before {moment(before)}.")


def _delete(old: QuerySet[ApiRequestLog], alias: str, size: int) -> Iterator[int]:
    """Delete ``old`` in batches, oldest first, and yield the size of each after its commit."""
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
            for batch in in_batches(rows, STATEMENT_SIZE):
                # The time selects a partition. Another process may have deleted rows.
                stored = old.filter(pk__in=[pk for pk, _ in batch])
                stored = stored.filter(at__gte=batch[0][1], at__lte=batch[-1][1])
                # delete() reads all rows first if its signals have receivers.
                deleted += stored._raw_delete(alias)
        since, seen = rows[-1][1], rows
        yield deleted
