"""Rates such as ``100/minute``, written as Django REST framework writes them."""

from __future__ import annotations

from typing import NamedTuple

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MAX_DIGITS = 9


class Rate(NamedTuple):
    """So many in a period.

    Attributes:
        number: how many.
        seconds: the length of the period.
    """

    number: int
    seconds: int


def parse_rate(text: str) -> Rate:
    """``100/minute`` as a :class:`Rate`. Of the period only the first letter counts, as in DRF.

    Raises:
        ValueError: it is none.
    """
    number, slash, period = text.partition("/")
    seconds = _SECONDS.get(period[:1])
    words = (number + period).isascii() and number.isdigit() and period.isalpha()
    if not (slash and seconds and words):
        raise ValueError("Give the rate as a number a period, such as 100/minute.")
    if len(number) > _MAX_DIGITS:
        raise ValueError("The number of the rate is too large.")
    return Rate(int(number), seconds)
