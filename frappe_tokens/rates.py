"""Rates such as ``100/minute``, written as in Django REST framework."""

from __future__ import annotations

from typing import NamedTuple

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MAX_DIGITS = 9


class Rate(NamedTuple):
    """A ``number`` of requests in a period of ``seconds``."""

    number: int
    seconds: int


def parse_rate(text: str) -> Rate:
    """Parse ``100/minute``. Only the period's first letter counts, as in DRF.

    Raises:
        ValueError: it isn't a rate.
    """
    number, slash, period = text.partition("/")
    seconds = _SECONDS.get(period[:1])
    words = (number + period).isascii() and number.isdigit() and period.isalpha()
    if not (slash and seconds and words):
        raise ValueError("Enter a rate as <number>/<period>, for example 100/minute.")
    if len(number) > _MAX_DIGITS:
        raise ValueError("The number of the rate is too large.")
    return Rate(int(number), seconds)
