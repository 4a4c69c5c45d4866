"""``manage.py disable_keys KEY...``: refuses API keys until they are enabled again."""

from __future__ import annotations

from ...keys import disable
from ..key_command import KeyCommand


class Command(KeyCommand):
    help = (
        "Disable each KEY, or all keys of a user, in all SOURCES. Requests with them are refused "
        "until enable_keys enables them."
    )
    verb, participle = "disable", "disabled"
    # Also disabled keys: their users could enable what they disabled themselves.
    affected = {"revoked_at__isnull": True}
    change = staticmethod(disable)
