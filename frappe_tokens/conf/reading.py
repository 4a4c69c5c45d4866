"""Reads a setting of ``FRAPPE_TOKENS`` and checks its type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from types import NoneType
from typing import Any, TypeVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from ..rates import Rate, parse_rate

# Later times may be out of range for a database or a time zone.
LONGEST = timedelta(days=36_500)

T = TypeVar("T")


class Reader:
    """Reads the settings, at every access.

    Raises:
        ImproperlyConfigured: from any method, if the value is invalid.
    """

    def _text(self, name: str, default: str, pattern: re.Pattern[str], rule: str) -> str:
        text = self._get(name, (str,), default)
        if text is not default and not pattern.fullmatch(text):
            raise ImproperlyConfigured(f"FRAPPE_TOKENS[{name!r}] must be {rule}.")
        return text

    def _optional_int(self, name: str, default: int | None, least: int = 0) -> int | None:
        number: int | None = self._get(name, (int, NoneType), default)
        if number is not None and number < least:
            problem = f"be at least {least}, or None" if least else "not be negative"
            raise ImproperlyConfigured(f"FRAPPE_TOKENS[{name!r}] must {problem}.")
        return number

    def _optional_timedelta(self, name: str) -> timedelta | None:
        lifetime: timedelta | None = self._get(name, (timedelta, NoneType), None)
        if lifetime is not None and not timedelta(0) < lifetime <= LONGEST:
            raise ImproperlyConfigured(
                f"FRAPPE_TOKENS[{name!r}] must be positive, at most {LONGEST.days} days, or None."
            )
        return lifetime

    def _rate(self, name: str, default: str, what: str) -> Rate | None:
        """Read a limit of repetitions of ``what``; None for no limit."""
        text: str | None = self._get(name, (str, NoneType), default)
        try:
            rate = parse_rate(text) if text is not None else None
        except ValueError as error:
            raise ImproperlyConfigured(f"FRAPPE_TOKENS[{name!r}]: {error}") from None
        if rate is not None and not rate.number:
            raise ImproperlyConfigured(
                f"FRAPPE_TOKENS[{name!r}] must allow at least one {what}, or be None."
            )
        return rate

    def _get(self, name: str, types: tuple[type, ...], default: T) -> T:
        own: Any = getattr(settings, "FRAPPE_TOKENS", None)
        if own is None:
            return default
        # The exact type first, which is faster.
        if type(own) is not dict and not isinstance(own, Mapping):
            raise ImproperlyConfigured("FRAPPE_TOKENS must be a dictionary.")
        if name not in own:
            return default
        value: T = own[name]
        # In Python, a bool is an int.
        if type(value) not in types and (isinstance(value, bool) or not isinstance(value, types)):
            names = " or ".join("None" if t is NoneType else t.__name__ for t in types)
            raise ImproperlyConfigured(f"FRAPPE_TOKENS[{name!r}] must be of type {names}.")
        return value
