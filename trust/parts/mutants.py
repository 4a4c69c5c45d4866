"""Small changes of the code that decides and manages, and whether a test notices each of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence

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


def run(*, quick: bool) -> Iterator[Report]:
    """Yield a report for each shard."""
    return map(report_of, [QUICK] if quick else SHARDS)


def report_of(name: str) -> Report:
    """Run the shard."""
    began, reasons = time.monotonic(), listed()
    covering = measure(SHARDS[name].paths, SHARDS[name].tests)
    outcomes, elsewhere = _outcomes(name, covering, reasons)
    killed, equivalent = _numbers(outcomes, reasons)
    slow = sum(outcome.result == "too slow" for outcome in outcomes)
    report = Report(f"Mutants of {name}", [_row(name, outcomes, reasons)])
    report.rows += _checks(name, outcomes, covering, reasons)
    report.notes.append(
        f"{len(covering.seconds):,} tests noticed {killed:,} of {len(outcomes):,} mutants "
        f"({killed / len(outcomes):.1%}), in {(time.monotonic() - began) / 60:.0f} minutes. "
        f"{equivalent} others are listed, and {len(outcomes) - killed - equivalent} are not."
    )
    if slow:
        report.notes.append(f"{slow} of the noticed ones took too much time or memory.")
    if elsewhere:
        report.notes.append(
            f"{elsewhere} were tried with another user model or on PostgreSQL, too: no other "
            "test noticed them."
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
        f"python -m trust.mutants {name} --results",
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
