"""Reads parameters from the query, a form, JSON, or JSON in a form."""

from __future__ import annotations

import json
from typing import Any

from django.http import QueryDict
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

TEXT_MAX_LENGTH = 500


def from_query(request: Request) -> dict[str, Any]:
    return dict(request.query_params.items())


def from_body(request: Request) -> dict[str, Any]:
    """Return the values in the body, or those in its ``data`` as JSON."""
    sent = request.data
    values = dict(sent.items()) if isinstance(sent, QueryDict) else sent
    if isinstance(values, dict) and "data" in values:
        values = parsed("data", values["data"])
    if not isinstance(values, dict):
        raise ValidationError("Send the fields and their values as an object.")
    return values


def parsed(name: str, value: Any) -> Any:
    """Parse ``value`` as JSON if it is a string. An empty string, as in forms, is None."""
    if not isinstance(value, str):
        return value
    if not value:
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ValidationError(f"{name} is not valid JSON.") from None


def parsed_or_word(name: str, value: Any) -> Any:
    """The same, but clients may also send a bare word, such as a field's name."""
    is_word = isinstance(value, str) and value != "null" and not value.startswith(("[", "{", '"'))
    return value if is_word else parsed(name, value)


def text(name: str, value: Any, max_length: int = TEXT_MAX_LENGTH) -> str:
    """Return ``value`` as a string that every database accepts.

    PostgreSQL refuses NULs, and UTF-8 lone surrogates, which JSON allows.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValidationError(f"{name} must be a string or a number.")
    string = str(value)
    if len(string) > max_length:
        raise ValidationError(f"{name} may have at most {max_length} characters.")
    if "\0" in string or any("\ud800" <= char <= "\udfff" for char in string):
        raise ValidationError(f"{name} contains a character that cannot be stored.")
    return string


def flag(name: str, value: Any) -> bool:
    if str(value).lower() not in {"true", "1", "false", "0"}:
        raise ValidationError(f"{name} must be true or false.")
    return str(value).lower() in {"true", "1"}
