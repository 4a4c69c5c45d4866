"""Types of command-line arguments."""

from __future__ import annotations

import argparse
import re
from datetime import timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


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
    try:
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError:
        raise argparse.ArgumentTypeError(f"{text!r} is too long.") from None
