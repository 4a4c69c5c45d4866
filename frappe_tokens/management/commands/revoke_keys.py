"""``manage.py revoke_keys KEY...``: ends API keys for good."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import router, transaction

from ... import crypto
from ...base_models import AbstractApiKey
from ...db import in_batches
from ...keys import LOCK_SIZE, lock_users, revoke
from ...models import ApiKey
from ..selection import named_users, printable, source_models, username_of

Models = list[type[AbstractApiKey]]


class Command(BaseCommand):
    help = (
        "Revoke each KEY, or all keys of a user, in all SOURCES. This can't be undone. The rows "
        "stay for the log."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("keys", nargs="*", metavar="KEY", help="API key, without its secret")
        parser.add_argument(
            "--user",
            action="append",
            default=[],
            metavar="U",
            help="all keys of this user; may be repeated",
        )
        parser.add_argument("--reason", default="", metavar="TEXT", help="why, for the record")
        parser.add_argument("--source", metavar="NAME", help="only in this one of SOURCES")

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
            keys = (
                _keys_of_users(options["user"], models)
                if options["user"]
                else _named_keys(options["keys"], models)
            )
            for key in keys:
                revoked = revoke(key, reason=options["reason"])
                lines.append(f"{'Revoked' if revoked else 'Was revoked already:'} {_named(key)}.")
        for line in lines:
            self.stdout.write(line)
        if not lines:
            self.stderr.write("There are no keys to revoke.")


def _named_keys(api_keys: Iterable[str], models: Models) -> list[AbstractApiKey]:
    """Lock the users of the keys, and return the keys in the order of the arguments.

    Raises:
        CommandError: some are unknown.
    """
    wanted = list(dict.fromkeys(api_keys))
    if any(":" in api_key or crypto.has_valid_checksum(api_key) for api_key in wanted):
        # The secret must not get into logs of the output too.
        raise CommandError(
            "One of these contains a secret. Enter the API key alone, the part before the colon. "
            "Nothing was revoked."
        )
    # Drivers raise their own errors for other characters.
    possible = [api_key for api_key in wanted if api_key.isascii() and api_key.isprintable()]
    found: dict[str, list[AbstractApiKey]] = {}
    for model in models:
        stored = model._base_manager.using(router.db_for_write(model)).select_related("user")
        for batch in in_batches(possible, LOCK_SIZE):
            for key in stored.filter(api_key__in=batch):
                found.setdefault(key.api_key, []).append(key)
    unknown = [f"There is no API key {api_key!r}." for api_key in wanted if api_key not in found]
    if unknown:
        raise CommandError("\n".join([*unknown, "Nothing was revoked."]))
    keys = [key for api_key in wanted for key in found[api_key]]
    lock_users(key.user_id for key in keys)
    return keys


def _keys_of_users(usernames: Iterable[str], models: Models) -> list[AbstractApiKey]:
    """Lock the users, and return their keys that aren't revoked."""
    users = named_users(usernames)
    pks = [user.pk for user in users]
    lock_users(pks)
    return [
        key
        for model in models
        for key in model._base_manager.using(router.db_for_write(model))
        .select_related("user")
        .filter(user__in=pks, revoked_at__isnull=True)
        .order_by("pk")
    ]


def _named(key: AbstractApiKey) -> str:
    user, name = username_of(key), getattr(key, "name", "")
    whose = f" of {printable(user)}" if user is not None else ""
    return f"{key.api_key}{whose}{f' ({printable(name)})' if name else ''}"
