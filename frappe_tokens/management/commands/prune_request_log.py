"""``manage.py prune_request_log --older-than 90d``: deletes what is old of the request log."""

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

# Some tens of milliseconds of locks, on rows that nobody else writes.
BATCH_SIZE = 2000

INTERRUPTED = 130  # as shells have it for what was ended by Ctrl-C


class Command(BaseCommand):
    help = (
        "Delete the requests that were logged so long ago, in batches, each in a transaction of "
        "its own. It may be interrupted: running it again goes on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--older-than", type=duration, metavar="90d", help="how old; has to be given"
        )
        parser.add_argument(
            "--batch-size",
            type=_count,
            default=BATCH_SIZE,
            metavar="N",
            help=f"rows to delete in one transaction, by default {BATCH_SIZE}",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        age: timedelta | None = options["older_than"]
        if age is None:
            raise CommandError("Say how old the requests have to be: --older-than 90d.")
        if age <= timedelta(0):
            raise CommandError("That would delete the whole log. Give 1s if you want just that.")
        before = timezone.now() - age
        alias = router.db_for_write(ApiRequestLog)
        old = ApiRequestLog._base_manager.using(alias).filter(at__lt=before)
        # To count them takes a while too.
        total = old.count() if options["verbosity"] and self.stderr.isatty() else 0
        deleted = 0
        try:
            with progress_bar(self.stderr, total, options["verbosity"]) as advance:
                for count in _delete(old, alias, options["batch_size"]):
                    # Rows may have come since they were counted.
                    advance(min(count, max(total - deleted, 0)))
                    deleted += count
        except KeyboardInterrupt:
            self.stderr.write(f"Interrupted. Deleted {_requests(deleted)}; run it again to go on.")
            sys.exit(INTERRUPTED)
        except OperationalError as error:
            raise CommandError(
                f"The database did not let rows be deleted: {str(error).strip()}\n"
                f"Deleted {_requests(deleted)}; run it again to go on."
            ) from error
        self.stdout.write(f"Deleted {_requests(deleted)} from before {moment(before)}.")


def _delete(old: QuerySet[ApiRequestLog], alias: str, size: int) -> Iterator[int]:
    """Delete ``old`` in batches, the oldest first; how many each one had, once it is committed."""
    limit = connections[alias].features.max_query_params
    # Each row's primary key is one, and three times bound them.
    some = size if limit is None else min(size, limit - 3)
    since: datetime | None = None
    seen: list[Any] = []
    while True:
        # From where the last batch ended: the database may still have to walk over what is
        # deleted. Outside of the transaction, in which SQLite could not begin to write any more
        # if another process had written meanwhile.
        rest = old if since is None else old.filter(at__gte=since)
        rows = list(rest.order_by("at").values_list("pk", "at")[:size])
        # The same again: a rule of the database, or a transaction around all this, keeps them.
        if not rows or rows == seen:
            return
        deleted = 0
        with transaction.atomic(using=alias):
            for batch in in_batches(rows, some):
                # By time too, which tells a partition. Another process may have deleted some.
                stored = old.filter(pk__in=[pk for pk, _ in batch])
                stored = stored.filter(at__gte=batch[0][1], at__lte=batch[-1][1])
                # delete() reads all rows first, where anybody listens to its signals.
                deleted += stored._raw_delete(alias)
        since, seen = rows[-1][1], rows
        yield deleted


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError("Give a number from 1 to 1000000.")
    return int(text)


def _requests(count: int) -> str:
    return f"{count} request{'' if count == 1 else 's'}"
