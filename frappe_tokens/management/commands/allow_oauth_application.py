"""``manage.py allow_oauth_application CLIENT_ID...``: lets an application run as its user."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import router, transaction

from ...keys import allow_application
from ...models import OAuthApplicationUser
from ..selection import check_found, printable

UNCHANGED = "Nothing was allowed."


class Command(BaseCommand):
    help = "Let tokens for client credentials of each application run as its current user."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "client_ids", nargs="+", metavar="CLIENT_ID", help="Client ids of applications."
        )

    def handle(self, *args: object, client_ids: list[str], **options: Any) -> None:
        if not apps.is_installed("oauth2_provider"):
            raise CommandError("Add oauth2_provider to INSTALLED_APPS first.")
        model = apps.get_model(
            getattr(settings, "OAUTH2_PROVIDER_APPLICATION_MODEL", "oauth2_provider.Application")
        )
        stored = model._base_manager.using(router.db_for_write(model)).select_related("user")
        # Drivers raise their own errors for other characters.
        possible = [client_id for client_id in client_ids if client_id.isprintable()]
        found = {row.client_id: row for row in stored.filter(client_id__in=possible)}
        check_found("application", client_ids, found, UNCHANGED)
        lines = []
        # All or nothing.
        with transaction.atomic(using=router.db_for_write(OAuthApplicationUser)):
            for client_id in dict.fromkeys(client_ids):
                try:
                    allow_application(found[client_id])
                except ValidationError as error:
                    problem = " ".join(error.messages)
                    raise CommandError(f"{client_id!r}: {problem} {UNCHANGED}") from None
                username = printable(found[client_id].user.get_username())
                lines.append(f"The application {client_id!r} runs as {username}.")
        for line in lines:
            self.stdout.write(line)
