"""Which plans a confirmation lists, and which it only counts."""

from __future__ import annotations

from collections.abc import Iterable

from ..keys import Plan

# Users whom a confirmation lists: nobody reads ten thousand lines that say the same.
SHOWN = 300


def shown_and_counted(plans: Iterable[Plan]) -> tuple[list[Plan], list[Plan]]:
    """The plans that a confirmation lists, and those that it only counts.

    It lists all that are left out, for each has its own reason.
    """
    shown: list[Plan] = []
    more: list[Plan] = []
    for plan in plans:
        (shown if plan.blocked_by or len(shown) < SHOWN else more).append(plan)
    return shown, more
