"""Types of command-line arguments."""

from __future__ import annotations

import argparse
import re
from datetime import timedelta

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}  # seconds
_CENTURY = 36_500 * 86_400  # later dates are out of range sooner or later


def duration(text: str) -> timedelta:
    """Return ``90d``, ``24h``, ``30m``, ``10s`` or ``2w`` as a timedelta.

    Raises:
        argparse.ArgumentTypeError: it isn't a duration, or longer than a century.
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhdw])", text)
    if match is None or int(match[1]) * _UNITS[match[2]] > _CENTURY:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a duration of less than a century. Enter a number and a unit, such "
            "as 90d, 24h or 30m."
        )
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])
