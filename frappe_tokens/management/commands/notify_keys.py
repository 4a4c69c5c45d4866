"""``manage.py notify_keys``: emails users about their keys that expire soon or are unused."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...keys import UNUSED, DueNotices, Notice, address_of, prune_notices, send_notices
from ...types import User
from ..progress import progress_bar
from ..selection import counted, duration, moment, owner_of, printable, source_models

logger = logging.getLogger("frappe_tokens.notices")


class Command(BaseCommand):
    help = (
        "Email users about their API keys, of all SOURCES, that expire soon or are unused. A user "
        "gets at most one email per run, and none twice about the same expiry or last use."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--expiring-in",
            type=duration,
            default=timedelta(days=14),
            metavar="14d",
            help="How soon keys expire. 0d: no such notices. Default: 14d.",
        )
        parser.add_argument(
            "--unused-for",
            type=duration,
            default=timedelta(days=90),
            metavar="90d",
            help="How long keys have been unused. 0d: no such notices. Default: 90d.",
        )
        parser.add_argument("--dry-run", action="store_true", help="Only print what would be sent.")

    def handle(self, *args: object, **options: Any) -> None:
        models = source_models(None).values()
        due = DueNotices(models, options["expiring_in"], options["unused_for"])
        verbosity, dry_run = options["verbosity"], options["dry_run"]
        emails = keys = failed = inactive = without_address = 0
        with progress_bar(self.stderr, 0 if dry_run else len(due.users), verbosity) as show:
            for done, (user, notices) in enumerate(due, 1):
                if user is None or not notices:
                    pass
                elif not user.is_active:
                    inactive += 1
                elif not address_of(user):
                    without_address += 1
                else:
                    try:
                        sent = notices if dry_run else send_notices(user, notices)
                    except Exception:
                        failed += 1
                        logger.exception("User %r could not be notified.", user.pk)
                    else:
                        emails += bool(sent)
                        keys += len({notice.key for notice in sent})
                        if sent and verbosity > (0 if dry_run else 1):
                            self.stdout.write("\n".join(_lines(user, sent)))
                show(done)
        if not dry_run:
            prune_notices(models)
        if verbosity:
            verb = "Would send" if dry_run else "Sent"
            self.stdout.write(f"{verb} {counted(emails, 'email')} about {counted(keys, 'key')}.")
            if inactive or without_address:
                self.stdout.write(
                    f"Left out {counted(inactive, 'inactive user')} and "
                    f"{counted(without_address, 'user')} without an email address."
                )
        if failed:
            raise CommandError(
                f"{counted(failed, 'user')} could not be notified. See the log, then run the "
                "command again: no user gets the same email twice."
            )


def _lines(user: User, notices: list[Notice]) -> list[str]:
    lines = [f"{printable(user.get_username())} <{printable(address_of(user))}>"]
    for notice in notices:
        what = "unused since" if notice.kind == UNUSED else "expires"
        lines.append(f"  {notice.api_key} of {owner_of(notice.key)}: {what} {moment(notice.about)}")
    return lines
