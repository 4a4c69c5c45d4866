"""The base of ``revoke_keys``, ``disable_keys`` and ``enable_keys``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import router, transaction

from .. import crypto
from ..base_models import AbstractApiKey
from ..keys import lock_users
from ..models import ApiKey
from .selection import add_selection, check_found, named_users, owner_of, source_models

Models = list[type[AbstractApiKey]]


class KeyCommand(BaseCommand):
    """Changes each KEY, or the keys of a user, in all ``SOURCES``: all of them or none.

    Attributes:
        verb: what it does, such as "revoke".
        participle: such as "revoked".
        affected: the conditions for the keys of a user that it changes.
        change: changes a key, and returns False if there was nothing to change.
    """

    verb: ClassVar[str]
    participle: ClassVar[str]
    affected: ClassVar[Mapping[str, bool]]
    change: Callable[[AbstractApiKey], bool]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "keys", nargs="*", metavar="KEY", help="API keys, without their secrets."
        )
        add_selection(parser)

    def handle(self, *args: object, **options: Any) -> None:
        if bool(options["keys"]) == bool(options["user"]):
            raise CommandError("Enter API keys, or use --user.")
        models: Models = list(source_models(options["source"]).values())
        written: Models = [ApiKey, *models]
        # All or nothing, whichever databases the sources are in.
        with ExitStack() as transactions:
            for alias in dict.fromkeys(map(router.db_for_write, written)):
                transactions.enter_context(transaction.atomic(using=alias))
            lock_users([])  # SQLite: before the first read
            if options["user"]:
                pks = [user.pk for user in named_users(options["user"])]
                lock_users(pks)
                keys = _stored(models, user__in=pks, **self.affected)
            else:
                keys = self._named_keys(options["keys"], models)
                lock_users(key.user_id for key in keys)
            lines = [self._changed(key) for key in keys]
        for line in lines:
            self.stdout.write(line)
        if not lines:
            self.stderr.write(f"There are no keys to {self.verb}.")

    def _changed(self, key: AbstractApiKey) -> str:
        """Change ``key``, and return what to print."""
        try:
            changed = self.change(key)
        except ValidationError as error:
            problem = " ".join(error.messages)
            raise CommandError(f"{key.api_key}: {problem} {self._nothing}") from None
        done = self.participle.capitalize() if changed else f"Was {self.participle} already:"
        whose = f" of {owner_of(key)}" if key.user is not None else ""
        return f"{done} {key.api_key}{whose}."

    @property
    def _nothing(self) -> str:
        return f"Nothing was {self.participle}."

    def _named_keys(self, api_keys: list[str], models: Models) -> list[AbstractApiKey]:
        if any(":" in api_key or crypto.has_valid_checksum(api_key) for api_key in api_keys):
            # Not repeated, because the output may be logged.
            raise CommandError(
                "One of these contains a secret. Enter the API key alone, the part before the "
                f"colon. {self._nothing}"
            )
        # Drivers raise their own errors for other characters.
        possible = [api_key for api_key in api_keys if api_key.isascii() and api_key.isprintable()]
        keys = _stored(models, api_key__in=possible)
        check_found("API key", api_keys, {key.api_key for key in keys}, self._nothing)
        return keys


def _stored(models: Models, **conditions: object) -> list[AbstractApiKey]:
    return [
        key
        for model in models
        for key in model._base_manager.using(router.db_for_write(model))
        .select_related("user")
        .filter(**conditions)
        .order_by("pk")
    ]
