"""``manage.py revoke_keys KEY...``: revokes API keys, which is final."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from ...base_models import AbstractApiKey
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
        parser.add_argument("--reason", default="", metavar="TEXT", help="why, for the record")

    def change(self, key: AbstractApiKey, options: Mapping[str, Any]) -> bool:
        return revoke(key, reason=options["reason"])
