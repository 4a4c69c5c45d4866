"""Keys as rows of a table for spreadsheets and programs. Never with a digest."""

from __future__ import annotations

import json
import re
from datetime import datetime

from ..base_models import AbstractApiKey
from ..models import SHOWN_FIELDS
from ..redaction import spreadsheet_safe


def shown_fields(key: AbstractApiKey) -> dict[str, object]:
    """Return the values of ``SHOWN_FIELDS``, with the user's name."""
    # Only ApiKey has all of them.
    missing: dict[str, object] = {"metadata": {}}
    fields = {name: getattr(key, name, missing.get(name, "")) for name in SHOWN_FIELDS}
    return {**fields, "user": None if key.user is None else str(key.user.get_username())}


def csv_row(key: AbstractApiKey) -> dict[str, str]:
    """Return the same as texts that are safe to open in a spreadsheet."""
    return {name: _cell(value) for name, value in shown_fields(key).items()}


def iso(at: datetime) -> str:
    """Format a time like Django REST framework, so that lists can be compared."""
    return re.sub(r"\+00:00$", "Z", at.isoformat())


def as_json(value: object) -> str:
    """Return ``value`` as JSON. A source's own columns may have the names of ours, and any type."""
    return json.dumps(value, default=lambda it: iso(it) if isinstance(it, datetime) else str(it))


def _cell(value: object) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return spreadsheet_safe(" ".join(value))
    if isinstance(value, datetime):
        return iso(value)
    text = value if isinstance(value, str) else as_json(value)
    return "" if value is None else spreadsheet_safe(text)
