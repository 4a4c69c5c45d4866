"""What a client sent, whichever way: in the query, as a form, as JSON, or as JSON in a form."""

from __future__ import annotations

import json
from typing import Any

from django.http import QueryDict
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

# Longer than any name or date, and than what anyone looks for.
TEXT_MAX_LENGTH = 500


def from_query(request: Request) -> dict[str, Any]:
    return dict(request.query_params.items())


def from_body(request: Request) -> dict[str, Any]:
    """The values in the body. A value ``data``, where there is one, holds them all as JSON."""
    sent = request.data
    values = dict(sent.items()) if isinstance(sent, QueryDict) else sent
    if isinstance(values, dict) and "data" in values:
        values = parsed("data", values["data"])
    if not isinstance(values, dict):
        raise ValidationError("Send the fields and their values as an object.")
    return values


def parsed(name: str, value: Any) -> Any:
    """``value``, read as JSON where it is text; None for the empty text of a form.

    Args:
        name: what it is called in the error.
    """
    if not isinstance(value, str):
        return value
    if not value:
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ValidationError(f"{name} is not valid JSON.") from None


def parsed_or_word(name: str, value: Any) -> Any:
    """The same, where a client may also send a word as it is, such as a field's name."""
    is_word = isinstance(value, str) and value != "null" and not value.startswith(("[", "{", '"'))
    return value if is_word else parsed(name, value)


def text(name: str, value: Any, max_length: int = TEXT_MAX_LENGTH) -> str:
    """``value`` as text that every database takes.

    PostgreSQL has no NUL in its texts, and a lone surrogate, which JSON can hold, is no UTF-8.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValidationError(f"{name} must be a text or a number.")
    written = str(value)
    if len(written) > max_length:
        raise ValidationError(f"{name} is too long: {max_length} characters are the most.")
    if "\0" in written or any("\ud800" <= char <= "\udfff" for char in written):
        raise ValidationError(f"{name} has a character that cannot be stored.")
    return written


def flag(name: str, value: Any) -> bool:
    """``value`` as yes or no, in any of the ways that clients write it."""
    try:
        return {"true": True, "1": True, "false": False, "0": False}[str(value).lower()]
    except KeyError:
        raise ValidationError(f"{name} must be true or false.") from None
