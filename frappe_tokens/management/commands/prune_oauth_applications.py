"""``manage.py prune_oauth_applications``: deletes registered clients that no one uses."""

from __future__ import annotations

from datetime import timedelta

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.module_loading import import_string

from ..selection import counted, duration, moment

DEFAULT_AGE = timedelta(days=30)


class Command(BaseCommand):
    help = (
        "Delete OAuth 2 applications that registered themselves, or are known by a metadata "
        "document, and have got no token for a time."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--unused-for",
            type=duration,
            default=DEFAULT_AGE,
            metavar="30d",
            help="Minimum time without a token. Default: 30d.",
        )

    def handle(self, *args: object, unused_for: timedelta, **options: object) -> None:
        if not apps.is_installed("oauth2_provider"):
            raise CommandError("Add oauth2_provider to INSTALLED_APPS first.")
        if unused_for <= timedelta(0):
            # Zero would also delete what a user is giving access to right now.
            raise CommandError("Enter a positive time, for example --unused-for 30d.")
        before = timezone.now() - unused_for
        # By name, because the core must run without the toolkit.
        deleted = import_string("frappe_tokens.contrib.oauth2.unused.delete_unused")(before)
        self.stdout.write(
            f"Deleted {counted(deleted, 'application')} unused since {moment(before)}."
        )
