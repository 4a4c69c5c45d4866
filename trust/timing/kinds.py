"""The kinds of requests whose times are compared. All are refused with the same bytes.

The credentials of a kind are as long as those of the kind that it is compared with.
"""

from __future__ import annotations

import random
import string
from dataclasses import dataclass

from frappe_tokens.crypto import BASE62, checksum

# What the API keys of one kind begin with. They take longer where the site has a leak.
MARK = "ftk_M"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of requests.

    Attributes:
        name: what it presents.
        like: the name of the kind that it is compared with; "" for none.
        is_imported: whether its keys and secrets have the form of a Frappe site's.
        source: the name of the source, if it isn't the default one.
    """

    name: str
    like: str = ""
    is_imported: bool = False
    source: str = ""

    @property
    def divisor(self) -> int:
        """How many requests of the main kinds there are for one of this kind."""
        return 1 if self in MAIN else 4

    @property
    def is_known(self) -> bool:
        """Whether there are such keys."""
        return "unknown" not in self.name

    @property
    def tells_existence(self) -> bool:
        """Whether it is compared with unknown keys."""
        return self.is_known and "unknown" in self.like

    @property
    def tells_state(self) -> bool:
        """Whether it is compared with other known keys."""
        return self.is_known and "unknown" not in self.like

    def api_key(self, rng: random.Random) -> str:
        """Return a new API key."""
        if self.is_imported:
            return _drawn(rng, string.hexdigits[:16], 15)
        return (MARK if self is CONTROL else "ftk_A") + _drawn(rng, BASE62, 15)

    def request(self, api_key: str, api_secret: str) -> bytes:
        """Return what goes over the socket."""
        lines = [
            "GET / HTTP/1.1",
            "Host: 127.0.0.1",
            f"Authorization: token {api_key}:{api_secret}",
        ]
        if self.source:
            lines.append(f"Frappe-Authorization-Source: {self.source}")
        return "\r\n".join([*lines, "", ""]).encode()

    def api_secret(self, rng: random.Random) -> str:
        """Return a new secret, which passes the checks that need no query."""
        if self.is_imported:
            return _drawn(rng, string.hexdigits[:16], 15)
        body = "fts_" + _drawn(rng, BASE62, 43)
        return body + checksum(body)


def _drawn(rng: random.Random, characters: str, length: int) -> str:
    return "".join(rng.choices(characters, k=length))


UNKNOWN, WRONG = Kind("unknown key"), Kind("wrong secret", "unknown key")
# Nothing differs from the first, so what differs is by chance.
CONTROL = Kind("unknown key again", "unknown key")
USED = Kind("wrong secret, key in use", "wrong secret")
REVOKED = Kind("wrong secret, revoked key", "wrong secret")
INACTIVE = Kind("wrong secret, inactive user", "wrong secret")
MAIN = (UNKNOWN, CONTROL, WRONG, USED, REVOKED, INACTIVE)

COUNTED = (UNKNOWN, CONTROL, WRONG, REVOKED)

EXPIRED = Kind("wrong secret, expired key", "wrong secret")
GRACE = Kind("wrong secret, old one in its grace period", "wrong secret")
OLDER = Kind("wrong secret, digest with an older pepper", "wrong secret")
UNPEPPERED = Kind("wrong secret, digest without a pepper", "wrong secret")
IMPORTED_UNKNOWN = Kind("unknown key of a Frappe site", is_imported=True)
IMPORTED = Kind("wrong secret, key of a Frappe site", IMPORTED_UNKNOWN.name, is_imported=True)
SOURCE_UNKNOWN = Kind("unknown key of another source", source="EventConsumer")
SOURCE = Kind("wrong secret, key of another source", SOURCE_UNKNOWN.name, source="EventConsumer")
ALL = (
    *MAIN,
    EXPIRED,
    GRACE,
    OLDER,
    UNPEPPERED,
    IMPORTED_UNKNOWN,
    IMPORTED,
    SOURCE_UNKNOWN,
    SOURCE,
)
