"""Types of command-line arguments."""

from __future__ import annotations

import argparse
import re
from datetime import timedelta

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}  # seconds
_LONGEST = timedelta(days=36_500)  # so that no date is out of range


def duration(text: str) -> timedelta:
    """``90d``, ``24h``, ``30m``, ``10s`` or ``2w`` as a timedelta.

    Raises:
        argparse.ArgumentTypeError: if it is none of these.
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhdw])", text)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no duration. Give a number and a unit, such as 90d, 24h or 30m."
        )
    span = timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    if span > _LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is too long. Give less than a century.")
    return span
