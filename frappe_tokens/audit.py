"""One line for each refusal, generation and revocation, on the logger ``frappe_tokens``.

Each record is of the level INFO and has, as attributes (``extra`` of ``logging``), ``event`` and
the fields that ``FIELDS`` names for it, for formatters that write JSON. None ever holds a secret, a
header or a query string.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from .exceptions import Refused
from .redaction import printable, redacted, redacted_path

logger = logging.getLogger("frappe_tokens")

# What the record of each event has besides ``event``.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "request_refused": (
        "code",
        "status",
        "api_key",
        "source",
        "user",
        "ip",
        "method",
        "path",
    ),
    "keys_generated": ("api_key", "key_model", "key_name", "user", "by", "rotated"),
    "key_revoked": ("api_key", "key_model", "key_name", "user", "by", "reason"),
}

_METHOD_LENGTH = 16
_PATH_LENGTH = 500
_TEXT_LENGTH = 200


def is_heard() -> bool:
    """Whether anyone listens. With Django's default ``LOGGING`` nobody does."""
    return logger.isEnabledFor(logging.INFO)


def refused(refused: Refused, key: Any, source: str, request: Mapping[str, str]) -> None:
    """Say ``request_refused``.

    Args:
        refused: why.
        key: the key whose secret was right, or None. Only then is its user named.
        source: the name of the source that was asked for, "" where there is none of it.
        request: ``address``, ``method`` and ``path``.
    """
    _say(
        "request_refused",
        "Refused %(method)s %(path)s from %(ip)s: %(code)s, API key %(api_key)r.",
        refused.reason.code,
        refused.reason.status,
        refused.api_key,
        source,
        _name(getattr(key, "user", None)),
        request["address"],
        redacted(request["method"], _METHOD_LENGTH),
        redacted_path(request["path"], _PATH_LENGTH),
    )


def generated(key: Any, by: Any, rotated: bool) -> None:
    """Say ``keys_generated``.

    Args:
        key: it was made, or has a new secret.
        by: the user who asked, None for trusted code.
        rotated: whether it was there before.
    """
    _say(
        "keys_generated",
        "Generated a secret for API key %(api_key)s of %(user)s.",
        *_of_key(key, by),
        rotated,
    )


def revoked(key: Any, by: Any, reason: str) -> None:
    """Say ``key_revoked``.

    Args:
        key: it ended.
        by: the user who asked, None for trusted code.
        reason: in words, fit for logs.
    """
    _say(
        "key_revoked",
        "Revoked API key %(api_key)s of %(user)s. Reason: %(reason)s",
        *_of_key(key, by),
        reason,
    )


def _of_key(key: Any, by: Any) -> tuple[Any, ...]:
    return (
        key.api_key,
        key._meta.label,
        redacted(str(getattr(key, "name", "")), _TEXT_LENGTH),
        _name(key.user),
        _name(by),
    )


def _name(user: Any) -> str | None:
    return None if user is None else printable(str(user.get_username()), _TEXT_LENGTH)


def _say(event: str, text: str, *values: Any) -> None:
    fields = dict(zip(FIELDS[event], values, strict=True))
    logger.info(text, fields, extra={"event": event, **fields})
