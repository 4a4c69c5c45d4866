"""``manage.py revoke_keys KEY...``: revokes API keys, which is final."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.core.management.base import CommandParser

from ...keys import revoke
from ..key_command import KeyCommand


class Command(KeyCommand):
    help = (
        "Revoke each KEY, or all keys of a user, in all SOURCES. This can't be undone. The rows "
        "stay for the log."
    )
    verb, participle = "revoke", "revoked"
    affected = {"revoked_at__isnull": True}

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--reason", default="", metavar="TEXT", help="Why, for the record.")

    def handle(self, *args: object, **options: Any) -> None:
        self.change = partial(revoke, reason=options["reason"])
        super().handle(*args, **options)
