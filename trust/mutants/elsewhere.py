"""Tries again what no test has noticed: with another user model, and on PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from .mapping import measure
from .running import Outcome, run
from .shards import CUSTOM_USER, ON_POSTGRESQL, WITH_CUSTOM_USER

# A server on which databases may be created.
ADDRESS = "postgres://root@127.0.0.1:5432/"


def try_elsewhere(
    outcomes: Sequence[Outcome], report: Callable[[Outcome], None]
) -> tuple[list[Outcome], int]:
    """Return the outcomes with those elsewhere, and how many mutants were tried there.

    Only those of modules in ``WITH_CUSTOM_USER`` and ``ON_POSTGRESQL`` are. ``POSTGRES_URL`` in the
    environment names the server.
    """
    outcomes, by_others = _try(outcomes, WITH_CUSTOM_USER, report, settings=CUSTOM_USER)
    address = os.environ.get("POSTGRES_URL", ADDRESS).rpartition("/")[0]
    database = f"{address}/mutants_{os.getpid()}"
    outcomes, on_postgresql = _try(outcomes, ON_POSTGRESQL, report, database=database)
    return outcomes, by_others + on_postgresql


def _try(
    outcomes: Sequence[Outcome],
    tests_of: Mapping[str, Sequence[str]],
    report: Callable[[Outcome], None],
    **where: str,
) -> tuple[list[Outcome], int]:
    mutants = [one.mutant for one in outcomes if not one.is_killed and one.mutant.path in tests_of]
    if not mutants:
        return list(outcomes), 0
    paths = sorted({mutant.path for mutant in mutants})
    files = sorted({file for path in paths for file in tests_of[path]})
    tests = measure(paths, files, **where)
    if not tests.seconds or tests.failed:
        raise RuntimeError(f"Without a change, tests fail with {where}: {tests.failed}.")
    found = {outcome.mutant.key: outcome for outcome in run(mutants, tests, report)}
    return [found.get(outcome.mutant.key, outcome) for outcome in outcomes], len(mutants)
