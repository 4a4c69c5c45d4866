"""Small changes of the code that decides and manages, and whether a test notices each of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from ..mutants.elsewhere import try_elsewhere
from ..mutants.equivalent import Key, listed, unknown
from ..mutants.making import mutants_of
from ..mutants.mapping import Map, measure
from ..mutants.running import Outcome, failing, try_harder
from ..mutants.running import run as run_mutants
from ..mutants.shards import SHARDS
from ..report import Report, Row

# The share of mutants that tests must notice, whatever is equivalent.
WANTED = 0.95

QUICK = "policy"


def run(*, quick: bool) -> Report:
    return report_of([QUICK] if quick else [*SHARDS])


def report_of(shards: Sequence[str]) -> Report:
    """Run ``shards``, one after the other."""
    report, reasons = Report("Mutants"), listed()
    lines = [
        "| Code | Mutants | Noticed | | Equivalent | Neither | Tests | Minutes |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    checks: list[Row] = []
    slow = again = 0
    for name in shards:
        began = time.monotonic()
        covering = measure(SHARDS[name].paths, SHARDS[name].tests)
        found, number = _outcomes(name, covering, reasons)
        again += number
        checks += _checks(name, found, covering, reasons)
        slow += sum(outcome.result == "too slow" for outcome in found)
        minutes = (time.monotonic() - began) / 60
        report.rows.append(_row(name, found, reasons))
        killed, equivalent = _numbers(found, reasons)
        rest = len(found) - killed - equivalent
        lines.append(
            f"| `{name}` | {len(found):,} | {killed:,} | {killed / len(found):.1%} | {equivalent}"
            f" | {rest} | {len(covering.seconds):,} | {minutes:.0f} |"
        )
    report.rows += checks
    report.notes.append("\n".join(lines))
    report.notes.append(
        f"{slow} of the noticed ones don't end, or take all memory. {again} that the tests didn't "
        "notice were tried with another user model or on PostgreSQL."
    )
    return report


def _outcomes(name: str, covering: Map, reasons: dict[Key, str]) -> tuple[list[Outcome], int]:
    mutants = [mutant for path in SHARDS[name].paths for mutant in mutants_of(path)]

    def quiet(outcome: Outcome) -> None: ...

    def show(outcome: Outcome) -> None:
        if not outcome.is_killed:
            print(f"  {outcome.result}: {outcome.mutant}", file=sys.stderr, flush=True)

    outcomes, again = try_elsewhere(run_mutants(mutants, covering, quiet), quiet)
    return try_harder(outcomes, covering, show, reasons), again


def _numbers(outcomes: Sequence[Outcome], reasons: dict[Key, str]) -> tuple[int, int]:
    """Return how many mutants a test noticed, and how many others are listed."""
    killed = sum(outcome.is_killed for outcome in outcomes)
    others = [outcome.mutant.key for outcome in outcomes if not outcome.is_killed]
    return killed, sum(key in reasons for key in others)


def _row(name: str, outcomes: Sequence[Outcome], reasons: dict[Key, str]) -> Row:
    killed, equivalent = _numbers(outcomes, reasons)
    too_few = killed < WANTED * len(outcomes)
    return Row(
        f"Tests notice at least {WANTED:.0%} of the mutants of `{name}`, and the others are listed "
        "as equivalent",
        len(outcomes),
        len(outcomes) - killed - (0 if too_few else equivalent),
        f"python -m trust.mutants {name}",
    )


def _checks(
    name: str, outcomes: Sequence[Outcome], covering: Map, reasons: dict[Key, str]
) -> list[Row]:
    """What shows that the numbers mean something."""
    noticing = {outcome.by for outcome in outcomes if outcome.is_killed} & covering.seconds.keys()
    wrong = [*covering.failed, *failing(noticing, covering)]
    paths = SHARDS[name].paths
    mutants = [outcome.mutant for outcome in outcomes]
    killed = {outcome.mutant.key for outcome in outcomes if outcome.is_killed}
    mistaken = [*unknown(reasons, mutants, paths), *(killed & reasons.keys())]
    for each in (*wrong, *mistaken):
        print(f"  {each}", file=sys.stderr, flush=True)
    rows = [
        Row(
            f"The tests that notice mutants of `{name}` pass without a change",
            len(noticing),
            len(wrong),
        )
    ]
    if number := sum(key[0] in paths for key in reasons):
        promise = "are real ones, and no test notices them"
        rows.append(Row(f"Mutants of `{name}` that are listed {promise}", number, len(mistaken)))
    return rows
