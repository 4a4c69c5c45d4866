"""The goals for the figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound, and a better one to aim at.

    Attributes:
        target: at most this much, or at least.
        aim: the same for the better bound.
        at_least: whether more is better.
    """

    target: float
    aim: float
    at_least: bool = False

    def verdict(self, measured: float) -> str:
        """Whether the target is met."""
        kept = measured >= self.target if self.at_least else measured <= self.target
        return "ok" if kept else "misses"


COLUMNS = ("target", "aim", "")
NO_GOAL = ("-", "-", "-")


def cells(goal: Goal | None, measured: float) -> tuple[str, str, str]:
    """For :data:`COLUMNS` of a table."""
    if goal is None:
        return NO_GOAL
    sign = ">=" if goal.at_least else "<="
    return f"{sign} {goal.target:.2f}", f"{goal.aim:.2f}", goal.verdict(measured)


# Cost above the open view, as a multiple of DRF TokenAuthentication's; by name of database.
DATABASE_LOOKUP = {
    "SQLite": Goal(0.36, 0.25),
    "PostgreSQL": Goal(0.65, 0.55),
    "MariaDB": Goal(0.65, 0.55),
    "MySQL": Goal(0.65, 0.55),
}
PREPARED_LOOKUP = Goal(0.45, 0.40)
# With a server that is slower than a file, the cache saves more.
LOCAL_CACHE = {"PostgreSQL": Goal(0.10, 0.07)}
REDIS_CACHE = {"PostgreSQL": Goal(0.36, 0.30)}

# The whole request, as a multiple of one to the open view.
MALFORMED = Goal(1.5, 1.2)

# Cost above the open view, as a multiple of the same with few rows.
MANY_ROWS = 1_000_000
MANY_KEYS = Goal(1.10, 1.02)
MANY_KEYS_OF_USER = Goal(1.05, 1.00)

# Time per user, as a multiple of drf_create_token's.
BULK = Goal(0.10, 0.03)

# Requests per second, only for PostgreSQL.
SERVED_TO_DRF_TOKEN = Goal(1.4, 1.7, at_least=True)
SERVED_TO_KNOX = Goal(1.9, 2.3, at_least=True)
SERVED_CACHED_TO_OPEN = Goal(0.85, 0.93, at_least=True)
ASYNC_TO_DRF_TOKEN = Goal(1.5, 1.8, at_least=True)
ASYNC_CACHED_TO_OPEN = Goal(0.85, 0.93, at_least=True)

# The whole request with the default log, as a multiple of DRF TokenAuthentication's without one.
README = {
    "SQLite": Goal(1.00, 0.90),
    "PostgreSQL": Goal(0.90, 0.80),
    "MariaDB": Goal(0.90, 0.80),
    "MySQL": Goal(0.90, 0.80),
}

# The whole request, as a multiple of one that is not logged.
DURABLE_LOG = {"PostgreSQL": Goal(1.8, 1.5)}
BUFFERED_LOG = Goal(1.06, 1.03)

# Milliseconds with this many rows on PostgreSQL.
LOG_ROWS = 10_000_000
USAGE_OF_KEY = Goal(50, 10)

# Milliseconds for a whole page of the admin, with this many keys and rows on PostgreSQL.
PAGE_KEYS = 100_000
PAGE_LOG_ROWS = 1_000_000
PAGE = Goal(300, 150)
