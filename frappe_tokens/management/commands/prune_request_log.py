"""``manage.py prune_request_log --older-than 90d``: deletes old rows of the request log."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError
from django.utils import timezone

from ...request_log import delete_in_batches, old_rows
from ..progress import progress_bar
from ..selection import counted, duration, moment

# Locks are held for some tens of milliseconds, on rows that nothing else writes.
BATCH_SIZE = 2000
BATCH_MAX = 1_000_000

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
            help="Minimum age. Required.",
        )
        parser.add_argument(
            "--batch-size",
            type=int,
            default=BATCH_SIZE,
            metavar="N",
            help=f"Rows per transaction. Default: {BATCH_SIZE}.",
        )

    def handle(self, *args: object, **options: Any) -> None:
        if options["older_than"] <= timedelta(0):
            # Zero would delete the whole log.
            raise CommandError("Enter a minimum age, for example --older-than 90d.")
        if not 1 <= options["batch_size"] <= BATCH_MAX:
            raise CommandError(f"The --batch-size must be 1 to {BATCH_MAX}.")
        before = timezone.now() - options["older_than"]
        old = old_rows(before)
        # Counting takes a while too.
        total = old.count() if options["verbosity"] and self.stderr.isatty() else 0
        deleted = 0
        try:
            with progress_bar(self.stderr, total, options["verbosity"]) as show:
                for count in delete_in_batches(old, options["batch_size"]):
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
