"""``python -m trust.mutants SHARD...``: runs some shards only, and shows what survives."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from ..parts.mutants import report_of
from ..report import write
from .elsewhere import try_elsewhere
from .equivalent import listed
from .making import all_mutants
from .mapping import measure
from .running import Outcome, run, try_harder
from .shards import SHARDS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m trust.mutants", description=__doc__)
    parser.add_argument("shards", nargs="+", metavar="SHARD", help=", ".join(SHARDS))
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="TEXT", help="mutants that contain one of these"
    )
    parser.add_argument("--part", default="0/1", help="such as 0/4")
    parser.add_argument("--show", action="store_true", help="list the mutants, run nothing")
    parser.add_argument("--out", type=Path, help="a file of JSON lines with what became of each")
    parser.add_argument("--results", action="store_true", help="write results.md")
    options = parser.parse_args()
    if options.results:
        for name in options.shards:
            report = report_of(name)
            print(report.text())
            write(report)
        return 0
    part, parts = map(int, options.part.split("/"))
    paths = [path for name in options.shards for path in SHARDS[name].paths]
    chosen = sorted({test for name in options.shards for test in SHARDS[name].tests})
    mutants = [
        mutant for mutant in all_mutants(paths) if any(text in str(mutant) for text in options.only)
    ][part::parts]
    if options.show:
        for mutant in mutants:
            print(mutant)
        print(len(mutants))
        return 0
    started, reasons = time.monotonic(), listed()
    tests = measure(paths, chosen)
    total = sum(tests.seconds.values())
    print(f"{len(tests.seconds)} tests, {total:.0f} s, failed: {tests.failed}")
    for name in sorted(tests.seconds, key=tests.seconds.__getitem__)[-10:]:
        print(f"  {tests.seconds[name]:.1f} s {name}")
    print(f"map: {time.monotonic() - started:.0f} s", flush=True)
    log = options.out.open("a") if options.out else None

    def report(outcome: Outcome) -> None:
        if not outcome.is_killed and outcome.mutant.key not in reasons:
            print(outcome.result, outcome.tests, outcome.mutant, flush=True)
        if log:
            log.write(
                json.dumps([*outcome.mutant.key, outcome.result, outcome.by, outcome.tests]) + "\n"
            )
            log.flush()

    outcomes, again = try_elsewhere(run(mutants, tests, report), report)
    outcomes = try_harder(outcomes, tests, report, reasons)
    killed = sum(outcome.is_killed for outcome in outcomes)
    slow = [str(outcome.mutant) for outcome in outcomes if outcome.result == "too slow"]
    print(f"{again} were tried elsewhere, too.")
    print(f"{len(outcomes)} mutants, {killed} killed ({killed / len(outcomes):.1%}), slow: {slow}")
    mistaken = [str(one.mutant) for one in outcomes if one.is_killed and one.mutant.key in reasons]
    print(f"Listed as equivalent, and killed: {mistaken}")
    print(f"{time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
