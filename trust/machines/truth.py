"""What is right to answer, from what was changed when."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Change:
    """Something becomes good or bad between the two moments (s, monotonic).

    Attributes:
        kind: what the credential then is, such as "revoked".
        answered_at: when the site said that it's done; infinite as long as it hasn't.
    """

    kind: str
    is_good: bool
    asked_at: float = -math.inf
    answered_at: float = math.inf


@dataclass(eq=False, slots=True)
class History:
    """The changes of a key or a user, one after another. The first is how they began."""

    changes: list[Change]

    def begin(self, kind: str, *, is_good: bool) -> Change:
        """Add a change that is being asked for."""
        change = Change(kind, is_good, time.monotonic())
        self.changes.append(change)
        return change

    def during(self, began: float, ended: float) -> Change | None:
        """Return the change that counted from ``began`` to ``ended``.

        None if another was on its way.
        """
        for change in reversed(self.changes):
            if change.answered_at < began:
                return change
            if change.asked_at <= ended:
                return None
        return None


@dataclass(eq=False, slots=True)
class Credential:
    """A token, with the histories of its key and of its key's user."""

    token: str = field(repr=False)
    username: str
    key: History
    user: History

    def expected(self, began: float, ended: float) -> Change | None:
        """Return the change that decides about a request; None if both answers are right."""
        key, user = self.key.during(began, ended), self.user.during(began, ended)
        for change in (key, user):
            if change is not None and not change.is_good:
                return change
        if key is None or user is None:
            return None
        return max(key, user, key=lambda change: change.answered_at)

    @property
    def is_good(self) -> bool:
        """Whether it is now, if nothing is on its way."""
        return self.key.changes[-1].is_good and self.user.changes[-1].is_good


def history(kind: str = "unchanged", *, is_good: bool = True, since: float = -math.inf) -> History:
    """Return a history that begins ``since``."""
    return History([Change(kind, is_good, since, since)])
