"""Generates API keys and secrets, and compares secrets with stored digests.

A secret has 256 random bits, so it can't be guessed, and one fast round of SHA-256 is enough. A
pepper, stored outside the database, makes a stolen table useless even for shorter imported secrets.
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

# The characters of random bytes. The last eight bytes are dropped, because 248 is four times 62.
# With them, the first eight characters would be more frequent.
_CHARACTERS = (BASE62 * 5)[:256].encode()
_UNEVEN = bytes(range(248, 256))

# Two digits at a time, because this runs at every request.
_PAIRS = [first + second for first in BASE62 for second in BASE62]

# Long enough for "hmac-sha256$" + pepper id + "$" + 64 hexadecimal digits.
DIGEST_MAX_LENGTH = 128


class Secret(str):
    """A string that ``repr()`` hides, because tracebacks, debug pages and logs print reprs."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'********'"


def generate_api_key() -> str:
    """Return a new API key: the prefix and 16 base62 characters."""
    return conf.KEY_PREFIX + _random(API_KEY_RANDOM_LENGTH)


def generate_api_secret() -> Secret:
    """Return a new API secret: the prefix, 43 base62 characters (256 bits), and a checksum."""
    body = Secret(conf.SECRET_PREFIX + _random(API_SECRET_RANDOM_LENGTH))
    return Secret(body + checksum(body))


def checksum(text: str) -> str:
    """Return the CRC-32 of ``text`` as 6 base62 characters, padded with zeros.

    It detects mistyped and invented secrets without a query, and lets secret scanners verify
    what they find.
    """
    number = zlib.crc32(text.encode())
    return _PAIRS[number // 62**4] + _PAIRS[number // 62**2 % 62**2] + _PAIRS[number % 62**2]


def has_valid_checksum(secret: str) -> bool:
    """Whether ``secret`` has the form of a generated one, with any prefix, and a valid checksum."""
    body, claimed = Secret(secret[:-CHECKSUM_LENGTH]), secret[-CHECKSUM_LENGTH:]
    return len(body) > API_SECRET_RANDOM_LENGTH and body.isascii() and checksum(body) == claimed


def make_digest(secret: str) -> str:
    """Return the digest to store of ``secret``, made with the newest pepper, if any."""
    peppers = conf.PEPPERS
    if not peppers:
        return "sha256$" + hashlib.sha256(secret.encode()).hexdigest()
    return _hmac_digest(secret, peppers[0])


def matches(secret: str, digest: str) -> bool:
    """Whether ``digest`` was made from ``secret``, with any of the peppers or without one.

    Args:
        secret: the presented secret.
        digest: the stored digest; "" for a key that doesn't exist. The result is then False,
            after the same work as for a wrong secret.
    """
    return _are_equal(_digest_like(secret, digest), digest)


def matches_which(secret: str, digest: str, older: str) -> tuple[bool, bool]:
    """Whether ``digest`` was made from ``secret``, and whether ``older`` was.

    It always takes two hashes and two comparisons, so that timing reveals neither a missing old
    digest ("") nor a missing key ("" twice).
    """
    presented = _digest_like(secret, older or digest)
    return matches(secret, digest), _are_equal(presented, older)


def possible_digests(secret: str) -> list[str]:
    """Return the digests that may be stored of ``secret``: without a pepper, and with each."""
    unpeppered = "sha256$" + hashlib.sha256(secret.encode()).hexdigest()
    return [unpeppered, *(_hmac_digest(secret, pepper) for pepper in conf.PEPPERS)]


def is_current(digest: str) -> bool:
    """Whether ``digest`` was made in the way of :func:`make_digest`, with the newest pepper."""
    peppers = conf.PEPPERS
    return digest.startswith(_hmac_label(peppers[0]) if peppers else "sha256$")


def _digest_like(secret: str, digest: str) -> str:
    """Digest ``secret`` in the way that ``digest`` was made, by default in the current way."""
    if digest.startswith("sha256$"):
        return "sha256$" + hashlib.sha256(secret.encode()).hexdigest()
    for pepper in conf.PEPPERS:
        if digest.startswith(_hmac_label(pepper)):
            return _hmac_digest(secret, pepper)
    return make_digest(secret)


def _are_equal(made: str, stored: str) -> bool:
    # compare_digest() raises an error for others, which no digest has.
    return stored.isascii() and hmac.compare_digest(made, stored)


def _hmac_digest(secret: str, pepper: str) -> str:
    mac = hmac.digest(pepper.encode(), secret.encode(), "sha256")
    return _hmac_label(pepper) + mac.hex()


# Cached, so that a comparison costs only one digest.
@functools.lru_cache(maxsize=32)
def _hmac_label(pepper: str) -> str:
    # Derived, so that peppers need no numbers and can't be mixed up.
    pepper_id = hmac.digest(pepper.encode(), b"frappe_tokens pepper id", "sha256").hex()[:8]
    return f"hmac-sha256${pepper_id}$"


def _random(length: int) -> str:
    drawn = b""
    while len(drawn) < length:
        drawn += secrets.token_bytes(length + 16).translate(_CHARACTERS, _UNEVEN)
    return drawn[:length].decode()
