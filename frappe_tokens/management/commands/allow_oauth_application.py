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
from ..selection import printable

UNCHANGED = "Nothing was allowed."


class Command(BaseCommand):
    help = "Let tokens for client credentials of each application run as its current user."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("client_ids", nargs="+", metavar="CLIENT_ID")

    def handle(self, *args: object, client_ids: list[str], **options: Any) -> None:
        applications = _named_applications(list(dict.fromkeys(client_ids)))
        lines = []
        # All or nothing.
        with transaction.atomic(using=router.db_for_write(OAuthApplicationUser)):
            for application in applications:
                named = repr(application.client_id)
                try:
                    allow_application(application)
                except ValidationError as error:
                    raise CommandError(f"{named}: {' '.join(error.messages)} {UNCHANGED}") from None
                username = printable(application.user.get_username())
                lines.append(f"The application {named} runs as {username}.")
        for line in lines:
            self.stdout.write(line)


def _named_applications(client_ids: list[str]) -> list[Any]:
    """Return the applications in the order of the arguments.

    Raises:
        CommandError: some are unknown.
    """
    if not apps.is_installed("oauth2_provider"):
        raise CommandError("Add oauth2_provider to INSTALLED_APPS first.")
    label = getattr(settings, "OAUTH2_PROVIDER_APPLICATION_MODEL", "oauth2_provider.Application")
    model = apps.get_model(label)
    stored = model._base_manager.using(router.db_for_write(model)).select_related("user")
    # Databases may ignore case, and drivers raise their own errors for other characters.
    possible = [client_id for client_id in client_ids if client_id.isprintable()]
    found = {row.client_id: row for row in stored.filter(client_id__in=possible)}
    unknown = [f"There is no application {name!r}." for name in client_ids if name not in found]
    if unknown:
        raise CommandError("\n".join([*unknown, UNCHANGED]))
    return [found[client_id] for client_id in client_ids]
