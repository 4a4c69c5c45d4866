"""Tries again, on PostgreSQL, what no test on SQLite has noticed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from .mapping import measure
from .running import Outcome, run
from .shards import ON_POSTGRESQL

# A server on which databases may be created.
ADDRESS = "postgres://root@127.0.0.1:5432/"


def try_again(
    outcomes: Sequence[Outcome], report: Callable[[Outcome], None]
) -> tuple[list[Outcome], int]:
    """Return the outcomes with those on PostgreSQL, and how many were tried there.

    Only modules in ``ON_POSTGRESQL`` are. ``POSTGRES_URL`` in the environment names the server.
    """
    mutants = [o.mutant for o in outcomes if not o.is_killed and o.mutant.path in ON_POSTGRESQL]
    if not mutants:
        return list(outcomes), 0
    paths = sorted({mutant.path for mutant in mutants})
    files = sorted({file for path in paths for file in ON_POSTGRESQL[path]})
    address = os.environ.get("POSTGRES_URL", ADDRESS).rpartition("/")[0]
    tests = measure(paths, files, f"{address}/mutants_{os.getpid()}")
    if not tests.seconds or tests.failed:
        raise RuntimeError(f"Without a change, tests fail on PostgreSQL: {tests.failed}.")
    found = {outcome.mutant.key: outcome for outcome in run(mutants, tests, report)}
    return [found.get(outcome.mutant.key, outcome) for outcome in outcomes], len(mutants)
