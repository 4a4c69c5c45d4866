"""``manage.py enable_keys KEY...``: accepts disabled API keys again."""

from __future__ import annotations

from ...keys import enable
from ..key_command import KeyCommand


class Command(KeyCommand):
    help = (
        "Enable each disabled KEY, or all disabled keys of a user, in all SOURCES. They keep their "
        "secrets."
    )
    verb, participle = "enable", "enabled"
    affected = {"revoked_at__isnull": True, "disabled_at__isnull": False}
    change = staticmethod(enable)
