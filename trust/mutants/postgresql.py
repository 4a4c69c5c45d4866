"""Tries again, on PostgreSQL, what no test on SQLite has noticed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path

from .mapping import PROCESSES, start_pytest
from .running import Outcome
from .shards import ON_POSTGRESQL
from .statuses import KILLED

# A server on which databases may be created.
ADDRESS = "postgres://root@127.0.0.1:5432/"
MARKS = "not (browser or node or process or server)"

_numbers = count()


def try_again(
    outcomes: Sequence[Outcome], report: Callable[[Outcome], None]
) -> tuple[list[Outcome], int]:
    """Return the outcomes with those on PostgreSQL, and how many were tried there.

    Only modules in ``ON_POSTGRESQL`` are. ``POSTGRES_URL`` in the environment names the server.
    """
    tried = [o for o in outcomes if not o.is_killed and o.mutant.path in ON_POSTGRESQL]
    for files in {tuple(ON_POSTGRESQL[outcome.mutant.path]) for outcome in tried}:
        status, _, log = _run({"source": ""}, files)
        if status:
            raise RuntimeError(
                "Without a change, the tests fail on PostgreSQL. POSTGRES_URL must name a server "
                f"on which databases may be created. {log}"
            )
    with ThreadPoolExecutor(PROCESSES) as threads:
        found = {id(one): new for one, new in zip(tried, threads.map(_again, tried), strict=True)}
    for outcome in found.values():
        report(outcome)
    return [found.get(id(outcome), outcome) for outcome in outcomes], len(tried)


def _again(outcome: Outcome) -> Outcome:
    mutant = outcome.mutant
    request = {"path": mutant.path, "source": mutant.source}
    status, by, _ = _run(request, ON_POSTGRESQL[mutant.path])
    if not status:
        return outcome
    return replace(outcome, result="killed" if status >= KILLED else "too slow", by=by)


def _run(request: dict[str, str], files: Sequence[str]) -> tuple[int, str, str]:
    """Return the status of pytest, the last test, and the end of what was printed."""
    address = os.environ.get("POSTGRES_URL", ADDRESS).rpartition("/")[0]
    with tempfile.TemporaryDirectory() as folder:
        last, log = Path(folder, "last"), Path(folder, "log")
        last.write_text("")
        process = start_pytest(
            folder,
            {"mode": "import", "request": request, "result": str(last)},
            ["-x", *files],
            log=log,
            marks=MARKS,
            database=f"{address}/mutants_{os.getpid()}_{next(_numbers)}",
        )
        return process.wait(), last.read_text() or "its import", log.read_text()[-3000:]
