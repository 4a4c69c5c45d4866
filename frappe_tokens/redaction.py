"""Text that clients chose, made fit for logs.

Secrets belong into the header alone, and nothing reads them from elsewhere; but people paste them
into addresses, and programs put them into what they call themselves.
"""

from __future__ import annotations

import re
from functools import lru_cache

from .conf import conf

HIDDEN = "********"

# One more than a UUID. Of a secret 17 characters are left to guess then, which are 69 bits even for
# those who make use of its checksum.
WORD_LENGTH = 33

# Secrets under any prefix, pairs in Base64, the tokens of DRF and knox; as well what only looks so,
# such as a digest. What has no digit is a long name; "-" and "_" join short ones.
_WORD = re.compile(rf"[0-9A-Za-z]{{{WORD_LENGTH},}}")
_DIGIT = re.compile(r"[0-9]")
# Whole, as nobody can see which half is the secret.
_FRAPPE_PAIR = re.compile(r"[0-9A-Fa-f]{15}(?::|%3[Aa])[0-9A-Fa-f]{15}(?![0-9A-Fa-f])")
# A query all the same, to those who read it.
_QUERY = re.compile(r"(?:\?|%3[Ff]).*", re.DOTALL)

# More than the random characters of an API key, which may have the same prefix.
_PIECE_LENGTH = 17


def redacted(text: str, length: int) -> str:
    """``text`` without secrets, and without what a log or a terminal would act upon.

    Hidden are: what has ``WORD_LENGTH`` letters and digits, or more, one after the other; what
    begins with ``SECRET_PREFIX`` and is longer than an API key; pairs of a Frappe site.

    Args:
        text: a path, a user agent, a method, a reason.
        length: how many characters to give at the most.
    """
    if len(text) > _PIECE_LENGTH:
        text = _WORD.sub(_hidden, text)
        prefix = conf.SECRET_PREFIX
        if prefix in text:
            text = piece_of_secret(prefix).sub(HIDDEN, text)
        if ":" in text or "%" in text:
            text = _FRAPPE_PAIR.sub(HIDDEN, text)
    # Cut last: half a secret would not be known for one.
    return printable(text, length)


def redacted_path(path: str, length: int) -> str:
    """The same of a path, without what was sent as ``%3F`` (or ``%253F``) and after it.

    Args:
        path: decoded once, as ``request.path`` is.
        length: how many characters to give at the most.
    """
    if "?" in path or "%" in path:
        path = _QUERY.sub("", path)
    return redacted(path, length)


def _hidden(word: re.Match[str]) -> str:
    return HIDDEN if _DIGIT.search(word[0]) else word[0]


def printable(text: str, length: int) -> str:
    """The first ``length`` characters of ``text``, those that do not print replaced."""
    text = text[:length]
    if text.isprintable():
        return text
    # Line ends forge lines, escapes drive terminals, and NULs are errors to PostgreSQL.
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


@lru_cache(maxsize=8)
def piece_of_secret(prefix: str) -> re.Pattern[str]:
    """Matches most of a secret with this ``prefix``, or all of it."""
    return re.compile(f"{re.escape(prefix)}[0-9A-Za-z]{{{_PIECE_LENGTH},}}")
