"""Logs refusals, generations and revocations, one line each, on the logger ``frappe_tokens``.

Each record has the level INFO and, as attributes (``extra`` of ``logging``), ``event`` and the
fields in ``FIELDS``, for formatters that write JSON. None contains a secret, a header or a query
string.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .exceptions import Refused
from .redaction import printable, redacted, redacted_path
from .types import User

if TYPE_CHECKING:
    # Settings import this module for their formatters, when models can't be imported yet.
    from .base_models import AbstractApiKey

logger = logging.getLogger("frappe_tokens")

# The attributes of each event's record, without ``event``.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "request_refused": ("code", "status", "api_key", "source", "user", "ip", "method", "path"),
    "keys_generated": ("api_key", "key_model", "key_name", "user", "by", "rotated"),
    "key_revoked": ("api_key", "key_model", "key_name", "user", "by", "reason"),
    "key_disabled": ("api_key", "key_model", "key_name", "user", "by"),
    "key_enabled": ("api_key", "key_model", "key_name", "user", "by"),
}

_TEXTS = {
    "request_refused": "Refused %(method)s %(path)s from %(ip)s: %(code)s, API key %(api_key)r.",
    "keys_generated": "Generated a secret for API key %(api_key)s of %(user)s.",
    # As keys_generated says it of a secret that replaced another one.
    "rotated": "Rotated the secret of API key %(api_key)s of %(user)s.",
    "key_revoked": "Revoked API key %(api_key)s of %(user)s. Reason: %(reason)s",
    "key_disabled": "Disabled API key %(api_key)s of %(user)s.",
    "key_enabled": "Enabled API key %(api_key)s of %(user)s.",
}

_METHOD_LENGTH = 16
_PATH_LENGTH = 500
_TEXT_LENGTH = 200


def is_heard() -> bool:
    """Whether events are logged. With Django's default ``LOGGING``, they aren't."""
    return logger.isEnabledFor(logging.INFO)


def refused(refused: Refused, key: object, source: str, request: Mapping[str, str]) -> None:
    """Log ``request_refused``.

    Args:
        key: the key whose secret was correct, if any. Only then is its user logged.
        source: the name of the requested source; "" if it doesn't exist.
        request: ``address``, ``method`` and ``path``.
    """
    _log(
        "request_refused",
        refused.reason.code,
        refused.reason.status,
        refused.api_key,
        source,
        _name(getattr(key, "user", None)),
        request["address"],
        redacted(request["method"], _METHOD_LENGTH),
        redacted_path(request["path"], _PATH_LENGTH),
    )


def key_event(event: str, key: AbstractApiKey, by: User | None, *details: object) -> None:
    """Log what was done to a key.

    Args:
        event: the name of its signal.
        by: the user who did it; None for trusted code.
        details: the event's own ``FIELDS``, after those that all have.
    """
    name = redacted(str(getattr(key, "name", "")), _TEXT_LENGTH)
    _log(event, key.api_key, key._meta.label, name, _name(key.user), _name(by), *details)


def _name(user: User | None) -> str | None:
    return None if user is None else printable(str(user.get_username()), _TEXT_LENGTH)


def _log(event: str, *values: object) -> None:
    fields = dict(zip(FIELDS[event], values, strict=True))
    text = _TEXTS["rotated" if fields.get("rotated") else event]
    logger.info(text, fields, extra={"event": event, **fields})
