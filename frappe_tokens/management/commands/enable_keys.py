"""``manage.py enable_keys KEY...``: accepts disabled API keys again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...base_models import AbstractApiKey
from ...keys import enable
from ..key_command import KeyCommand


class Command(KeyCommand):
    help = (
        "Enable each disabled KEY, or all disabled keys of a user, in all SOURCES. They keep their "
        "secrets."
    )
    verb, participle = "enable", "enabled"
    affected = {"revoked_at__isnull": True, "disabled_at__isnull": False}

    def change(self, key: AbstractApiKey, options: Mapping[str, Any]) -> bool:
        return enable(key)
