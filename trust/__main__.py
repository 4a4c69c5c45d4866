"""``python -m trust [PART...]``: tries to break the app's promises, part by part."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from .report import Report, write

PARTS = sorted(
    path.stem for path in (Path(__file__).parent / "parts").glob("*.py") if path.stem != "__init__"
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m trust", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"default: all: {', '.join(PARTS)}"
    )
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--no-results", action="store_true", help="don't write results.md")
    options = parser.parse_args()
    if unknown := {*options.parts} - {*PARTS}:
        parser.error(
            f"There is no part {', '.join(sorted(unknown))}. They are: {', '.join(PARTS)}."
        )
    # Stops the servers that a part has started, and removes its databases.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    holds = True
    for name in options.parts or PARTS:
        # Each part imports its tools when it runs: another may do without them.
        found: Report | Iterator[Report] = import_module(f"trust.parts.{name}").run(
            quick=options.quick
        )
        for report in [found] if isinstance(found, Report) else found:
            print(report.text(), flush=True)
            holds = holds and report.holds
            if not (options.quick or options.no_results):
                write(report)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
