"""Runs the benchmarks, in groups."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django

if TYPE_CHECKING:
    from .report import Table

# Bulk generation is for all active users, so it runs before there are a million.
GROUPS = (
    "readme",
    "in-process",
    "stages",
    "request-log",
    "flood",
    "end-to-end",
    "async",
    "user-keys",
    "bulk",
    "scale",
    "pages",
    "usage",
    "sizes",
    "growth",
)
RESULTS = Path(__file__).with_name("results.md")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much to measure.

    By default, ``many_keys`` is a million on PostgreSQL and none elsewhere, and ``log_rows`` is ten
    million on PostgreSQL and a hundredth of that elsewhere.
    """

    rounds: int = 2000
    few_keys: int = 1000
    many_keys: int | None = None
    user_keys: int = 1000
    users: int = 10_000
    sample: int = 300
    seconds: int = 3
    e2e_rounds: int = 7
    log_rows: int | None = None
    page_keys: int | None = None
    page_log_rows: int | None = None
    flood: int = 100_000
    size_keys: int = 100_000
    size_rounds: int = 3
    growth: tuple[int, ...] = (1_000_000, 10_000_000)


QUICK = Sizes(
    rounds=20,
    few_keys=50,
    many_keys=500,
    user_keys=20,
    users=100,
    sample=20,
    seconds=1,
    e2e_rounds=1,
    log_rows=5000,
    page_keys=100,
    page_log_rows=1000,
    flood=1000,
    size_keys=100,
    size_rounds=1,
    growth=(1000,),
)
NUMBERS = {
    "rounds": "how many times each request is timed",
    "many-keys": "rows of the large table; by default on PostgreSQL only",
    "user-keys": "keys of the user with many keys",
    "users": "users to generate keys for in bulk",
    "seconds": "seconds of load on each URL in each round",
    "e2e-rounds": "rounds of load",
    "log-rows": "rows of the request log in which usage is counted",
    "flood": "requests without a key",
}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    sizes = QUICK if options.quick else Sizes()
    named = {name.replace("-", "_") for name in NUMBERS}
    given = {name: value for name in named if (value := getattr(options, name)) is not None}
    sizes = replace(sizes, **given)
    # Removes the database and stops the servers.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="frappe_tokens-bench-") as folder:
        os.environ["DATABASE_URL"] = (
            os.environ.get("DATABASE_URL") or f"sqlite:///{folder}/benchmarks.sqlite3"
        )
        os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
        django.setup()
        return _run(options, sizes)


def _run(options: argparse.Namespace, sizes: Sizes) -> int:
    from . import results
    from .database import database_name, own_database
    from .measure import WrongAnswer
    from .report import wrapped

    output: Path | None = options.output
    if output is None and not options.quick and set(options.only) == set(GROUPS):
        output = RESULTS
    tables: list[Table] = []
    try:
        with own_database():
            database = database_name()
            _say("\n".join([database, *map(wrapped, results.surroundings(database)), ""]))
            if options.quick:
                _say("Quick: this only shows that everything works. Ignore the figures.\n")
            for group, measure in _groups(database, sizes).items():
                if group in options.only:
                    for table in measure():
                        _say(table.text())
                        tables.append(table)
            if output is not None:
                results.write(output, database, tables)
    except WrongAnswer as error:
        sys.stderr.write(f"Broken: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _groups(database: str, sizes: Sizes) -> dict[str, Callable[[], list[Table]]]:
    # They need Django's settings and apps.
    from . import (
        asynchronous,
        bulk,
        end_to_end,
        goals,
        growth,
        in_process,
        pages,
        request_log,
        scale,
        stages,
        usage,
    )
    from . import sizes as sizes_of_sites

    def keys_in_table() -> list[Table]:
        many = sizes.many_keys or (1_000_000 if database == "PostgreSQL" else None)
        return scale.keys_in_table(sizes.few_keys, many, sizes.rounds)

    def pages_of_admin() -> list[Table]:
        share = 1 if database == "PostgreSQL" else 100
        keys = sizes.page_keys or goals.PAGE_KEYS // share
        rows = sizes.page_log_rows or goals.PAGE_LOG_ROWS // share
        return pages.measure(keys, rows, sizes.rounds)

    def requests_in_log() -> list[Table]:
        rows = goals.LOG_ROWS if database == "PostgreSQL" else goals.LOG_ROWS // 100
        return usage.measure(sizes.log_rows or rows, sizes.rounds)

    measures: list[Callable[[], Any]] = [
        lambda: request_log.readme(database, sizes.rounds),
        lambda: in_process.measure(database, sizes.rounds),
        lambda: stages.measure(sizes.rounds),
        lambda: request_log.measure(database, sizes.rounds),
        lambda: request_log.flood(sizes.flood),
        lambda: end_to_end.measure(database, sizes.seconds, sizes.e2e_rounds),
        lambda: asynchronous.measure(database, sizes.seconds, sizes.e2e_rounds),
        lambda: scale.keys_of_a_user(sizes.user_keys, sizes.rounds),
        lambda: bulk.measure(sizes.users, sizes.sample),
        keys_in_table,
        pages_of_admin,
        requests_in_log,
        lambda: sizes_of_sites.measure(sizes.size_keys, sizes.seconds, sizes.size_rounds),
        lambda: growth.measure(sizes.growth, sizes.seconds),
    ]
    return dict(zip(GROUPS, measures, strict=True))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="tiny numbers, to see whether it works"
    )
    parser.add_argument(
        "--only",
        type=_group_names,
        default=GROUPS,
        metavar="GROUP,...",
        help=f"some of the groups: {', '.join(GROUPS)}",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="file for the results; default: benchmarks/results.md after a full run of all groups",
    )
    for name, meaning in NUMBERS.items():
        parser.add_argument(f"--{name}", type=_positive, metavar="N", help=meaning)
    return parser


def _group_names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(GROUPS):
        raise argparse.ArgumentTypeError(
            f"There is no group {', '.join(sorted(unknown))}. Choose from: {', '.join(GROUPS)}."
        )
    return names


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("Enter a number of at least 1.")
    return number


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
