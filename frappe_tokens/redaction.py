"""Makes clients' text safe for logs and spreadsheets.

Secrets belong in the Authorization header. But people paste them into addresses, and programs put
them into their user agent.
"""

from __future__ import annotations

import re
from functools import lru_cache

from .conf import conf

HIDDEN = "********"

# One more than a UUID's digits. A shorter piece leaves 17 characters of a secret to guess: 69 bits,
# even with its checksum.
WORD_LENGTH = 33

# Secrets with any prefix, pairs in Base64, tokens of DRF and knox; and digests, which look alike.
# A word without a digit is a long name; "-" and "_" join short ones.
_WORD = re.compile(rf"[0-9A-Za-z]{{{WORD_LENGTH},}}")
_DIGIT = re.compile(r"[0-9]")
# Both halves, because either may be the secret.
_FRAPPE_PAIR = re.compile(r"[0-9A-Fa-f]{15}(?::|%3[Aa])[0-9A-Fa-f]{15}(?![0-9A-Fa-f])")
# Also an encoded query, which people read as one.
_QUERY = re.compile(r"(?:\?|%3[Ff]).*", re.DOTALL)

# Longer than the random characters of an API key, which may have the same prefix.
_PIECE_LENGTH = 17

_URL_LENGTH = 2000


def redacted(text: str, length: int) -> str:
    """Return ``text`` without secrets and unprintable characters.

    It hides words of ``WORD_LENGTH`` or more letters and digits, anything that starts with
    ``SECRET_PREFIX`` and is longer than an API key, and pairs of a Frappe site. At most ``length``
    characters are returned.
    """
    if len(text) > _PIECE_LENGTH:
        text = _WORD.sub(lambda word: HIDDEN if _DIGIT.search(word[0]) else word[0], text)
        prefix = conf.SECRET_PREFIX
        if prefix in text:
            text = piece_of_secret(prefix).sub(HIDDEN, text)
        if ":" in text or "%" in text:
            text = _FRAPPE_PAIR.sub(HIDDEN, text)
    # Cut last: half a secret would not be recognized.
    return printable(text, length)


def redacted_path(path: str, length: int) -> str:
    """Redact ``request.path``, and cut it off at an encoded ``?`` (``%253F``)."""
    if "?" in path or "%" in path:
        path = _QUERY.sub("", path)
    return redacted(path, length)


def redacted_url(url: str) -> str:
    """Return ``url`` without secrets. Hashes of commits stay."""
    return printable(piece_of_secret(conf.SECRET_PREFIX).sub(HIDDEN, url), _URL_LENGTH)


def printable(text: str, length: int) -> str:
    """Return the first ``length`` characters of ``text``, with unprintable ones replaced."""
    text = text[:length]
    if text.isprintable():
        return text
    # Line ends forge lines, escapes control terminals, and PostgreSQL rejects NULs.
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def spreadsheet_safe(text: str) -> str:
    """Quote ``text`` if a spreadsheet would run it as a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


@lru_cache(maxsize=8)
def piece_of_secret(prefix: str) -> re.Pattern[str]:
    """Return a pattern that matches a secret with this ``prefix``, or most of one."""
    return re.compile(f"{re.escape(prefix)}[0-9A-Za-z]{{{_PIECE_LENGTH},}}")
