"""Making API keys and secrets, and comparing a secret with its stored digest.

A secret has 256 random bits, so one round of SHA-256 is enough: there is nothing to guess that a
slow password hash would slow down, and the check runs at every request. A pepper, kept outside
the database, makes a stolen table useless even for imported secrets that are shorter.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import secrets
import string
import zlib

from .conf import conf

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
API_KEY_RANDOM_LENGTH = 16
API_SECRET_RANDOM_LENGTH = 43  # 62**43 > 2**256
CHECKSUM_LENGTH = 6  # 62**6 > 2**32

# A random byte's character. The last eight bytes are thrown away: 248 is four times 62, and with
# the others the first eight characters would be drawn more often than the rest.
_CHARACTERS = (BASE62 * 5)[:256].encode()
_UNEVEN = bytes(range(248, 256))

# Two digits at a time: every request comes by here.
_PAIRS = [first + second for first in BASE62 for second in BASE62]

# Long enough for "hmac-sha256$" + pepper id + "$" + 64 hexadecimal digits.
DIGEST_MAX_LENGTH = 128


class Secret(str):
    """A string whose ``repr()`` hides it: tracebacks, debug pages and logs print reprs."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'********'"


def generate_api_key() -> str:
    """A new API key: the prefix and 16 base62 characters."""
    return conf.KEY_PREFIX + _random(API_KEY_RANDOM_LENGTH)


def generate_api_secret() -> Secret:
    """A new API secret: the prefix, 43 base62 characters (256 bits) and their checksum."""
    body = conf.SECRET_PREFIX + _random(API_SECRET_RANDOM_LENGTH)
    return Secret(body + checksum(body))


def checksum(text: str) -> str:
    """The CRC-32 of ``text`` as 6 base62 characters, padded with zeros.

    It tells a mistyped or made-up secret from a real one without a query, and lets secret
    scanners be sure of a find.
    """
    number = zlib.crc32(text.encode())
    return _PAIRS[number // 62**4] + _PAIRS[number // 62**2 % 62**2] + _PAIRS[number % 62**2]


def has_valid_checksum(secret: str) -> bool:
    """Whether ``secret`` has the generated form, under whichever prefix, and a right checksum."""
    body, claimed = secret[:-CHECKSUM_LENGTH], secret[-CHECKSUM_LENGTH:]
    return len(body) > API_SECRET_RANDOM_LENGTH and body.isascii() and checksum(body) == claimed


def make_digest(secret: str) -> str:
    """What is stored of ``secret``, made with the newest pepper where there is one."""
    peppers = conf.PEPPERS
    if not peppers:
        return "sha256$" + hashlib.sha256(secret.encode()).hexdigest()
    return _hmac_digest(secret, peppers[0])


def matches(secret: str, digest: str) -> bool:
    """Whether ``digest`` was made of ``secret``, with any of the peppers or with none.

    Args:
        secret: the presented secret.
        digest: the stored one; "" for a key that does not exist. The answer is then no, after
            the same work as for a wrong secret.
    """
    return hmac.compare_digest(_digest_like(secret, digest), digest)


def matches_which(secret: str, digest: str, older: str) -> tuple[bool, bool]:
    """Whether ``digest`` was made of ``secret``, and whether ``older`` was.

    Two hashes and two comparisons in every case: neither the absence of an old digest ("") nor that
    of the key ("" twice) is told by less work.
    """
    presented = _digest_like(secret, older or digest)
    return matches(secret, digest), hmac.compare_digest(presented, older)


def is_current(digest: str) -> bool:
    """Whether ``digest`` is made as :func:`make_digest` would make it now."""
    peppers = conf.PEPPERS
    return digest.startswith(_hmac_label(peppers[0]) if peppers else "sha256$")


def _digest_like(secret: str, digest: str) -> str:
    """``secret`` digested in the way that ``digest`` names, or in today's if it names none."""
    if digest.startswith("sha256$"):
        return "sha256$" + hashlib.sha256(secret.encode()).hexdigest()
    for pepper in conf.PEPPERS:
        if digest.startswith(_hmac_label(pepper)):
            return _hmac_digest(secret, pepper)
    return make_digest(secret)


def _hmac_digest(secret: str, pepper: str) -> str:
    mac = hmac.digest(pepper.encode(), secret.encode(), "sha256")
    return _hmac_label(pepper) + mac.hex()


# Kept, so that every comparison costs one digest, whichever pepper the stored one was made with.
@functools.lru_cache(maxsize=32)
def _hmac_label(pepper: str) -> str:
    # The id is derived, so that nobody has to number peppers and none can be mixed up. It tells
    # nothing of a pepper but which one it is.
    pepper_id = hmac.digest(pepper.encode(), b"frappe_tokens pepper id", "sha256").hex()[:8]
    return f"hmac-sha256${pepper_id}$"


def _random(length: int) -> str:
    drawn = b""
    while len(drawn) < length:
        drawn += secrets.token_bytes(length + 16).translate(_CHARACTERS, _UNEVEN)
    return drawn[:length].decode()
