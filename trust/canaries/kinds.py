"""What is planted, and how it is found again: as it is, cut, or in Base64."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Iterator

# Whatever begins so is secret; a word behind it says what kind it is.
MARK = "canary"

_SECRET = re.compile(rf"(?:fts_|{MARK}[A-Z]{{2}})[0-9A-Za-z]{{14,}}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{28,}")


def canary(kind: str) -> str:
    """A new secret: two letters say what it is."""
    return f"{MARK}{kind}{secrets.token_hex(16)}"


def access_token(request: object, refresh_token: object = False) -> str:
    return canary("AT")


def refresh_token(request: object, refresh_token: object = False) -> str:
    return canary("RT")


class ClientSecrets:
    """For the toolkit."""

    def hash(self) -> str:
        return canary("CS")


def found_in(text: str) -> Iterator[tuple[str, str]]:
    """Yield each secret in ``text``, and what stands before it."""
    for match in _SECRET.finditer(text):
        yield match[0], text[max(0, match.start() - 150) : match.start()]
    for word in set(_BASE64.findall(text)):
        # Wherever in the word it begins.
        for start in range(4):
            piece = word[start:].replace("-", "+").replace("_", "/")
            decoded = base64.b64decode(piece[: len(piece) // 4 * 4]).decode("latin-1")
            if match := _SECRET.search(decoded):
                place = text.index(word)
                yield f"{match[0]} in Base64", text[max(0, place - 150) : place]
