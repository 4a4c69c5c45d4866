"""``manage.py revoke_keys KEY...``: ends API keys for good."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import router, transaction

from ... import crypto
from ...base_models import AbstractApiKey
from ...keys import lock_users, revoke
from ...models import ApiKey
from ..selection import add_selection, check_found, named_users, owner_of, source_models

Models = list[type[AbstractApiKey]]


class Command(BaseCommand):
    help = (
        "Revoke each KEY, or all keys of a user, in all SOURCES. This can't be undone. The rows "
        "stay for the log."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("keys", nargs="*", metavar="KEY", help="API key, without its secret")
        parser.add_argument("--reason", default="", metavar="TEXT", help="why, for the record")
        add_selection(parser)

    def handle(self, *args: object, **options: Any) -> None:
        if bool(options["keys"]) == bool(options["user"]):
            raise CommandError("Enter API keys, or use --user.")
        models: Models = list(source_models(options["source"]).values())
        written: Models = [ApiKey, *models]
        lines = []
        # All or nothing, whichever databases the sources are in.
        with ExitStack() as transactions:
            for alias in dict.fromkeys(map(router.db_for_write, written)):
                transactions.enter_context(transaction.atomic(using=alias))
            lock_users([])  # SQLite: before the first read
            if options["user"]:
                pks = [user.pk for user in named_users(options["user"])]
                lock_users(pks)
                keys = _stored(models, user__in=pks, revoked_at__isnull=True)
            else:
                keys = _named_keys(options["keys"], models)
                lock_users(key.user_id for key in keys)
            for key in keys:
                revoked = revoke(key, reason=options["reason"])
                verb = "Revoked" if revoked else "Was revoked already:"
                whose = f" of {owner_of(key)}" if key.user is not None else ""
                lines.append(f"{verb} {key.api_key}{whose}.")
        for line in lines:
            self.stdout.write(line)
        if not lines:
            self.stderr.write("There are no keys to revoke.")


def _stored(models: Models, **conditions: object) -> list[AbstractApiKey]:
    return [
        key
        for model in models
        for key in model._base_manager.using(router.db_for_write(model))
        .select_related("user")
        .filter(**conditions)
        .order_by("pk")
    ]


def _named_keys(api_keys: list[str], models: Models) -> list[AbstractApiKey]:
    if any(":" in api_key or crypto.has_valid_checksum(api_key) for api_key in api_keys):
        # The secret must not get into logs of the output too.
        raise CommandError(
            "One of these contains a secret. Enter the API key alone, the part before the colon. "
            "Nothing was revoked."
        )
    # Drivers raise their own errors for other characters.
    possible = [api_key for api_key in api_keys if api_key.isascii() and api_key.isprintable()]
    keys = _stored(models, api_key__in=possible)
    check_found("API key", api_keys, {key.api_key for key in keys}, "Nothing was revoked.")
    return keys
