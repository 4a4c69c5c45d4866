"""Ten million inputs: headers, files, what the tests make up, and sequences of requests."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory

from ..fuzz import HEADERS, IMPORTS
from ..fuzz.running import Tried, fuzz, run_tests
from ..report import Report, Row

SEED = 2026

PROPERTIES = (
    "What the tests say about headers, secrets, digests, addresses, rates, policies, scopes, "
    "redirect URIs, logged text, files and filters holds for made-up ones"
)
REQUESTS = (
    "Each response to a made-up request is in the API's description, none is a 5xx, and what was "
    "revoked, replaced or disabled opens nothing afterwards"
)

SEQUENCES = "tests/openapi/test_stateful.py"

BEFORE = {
    IMPORTS: "a byte order mark at the beginning of any line was ignored",
    PROPERTIES: "a stored digest that isn't ASCII raised an error, found by reading",
}


@dataclass(frozen=True, slots=True)
class Size:
    """How much is tried.

    Attributes:
        seconds: how long each target is fuzzed with coverage.
        inputs: how many inputs there are in all. Those that are missing are headers.
        properties, requests: how many times as much as in the suite the tests make up; 0 for none.
    """

    seconds: int
    inputs: int
    properties: int
    requests: int


FULL, QUICK = Size(300, 10_000_000, 10, 10), Size(3, 2_000, 0, 0)


def run(*, quick: bool) -> Report:
    size = QUICK if quick else FULL
    report = Report("Fuzzing")
    with TemporaryDirectory() as name, ThreadPoolExecutor(2) as threads:
        folder = Path(name)
        headers, imports = threads.map(
            partial(_guided, folder, size.seconds), ("headers", "imports")
        )
        others: list[Tried] = []
        if not quick:  # the suite has them
            properties = threads.submit(run_tests, folder, size.properties, "tests/properties")
            requests = threads.submit(run_tests, folder, size.requests, SEQUENCES)
            others = [properties.result(), requests.result()]
        so_far = sum(each.number for each in (headers, imports, *others))
        rest = max(size.inputs - so_far, 2) // 2
        blind = [*threads.map(partial(_blind, folder, rest), (1, 2))]
    report.rows += [
        _row(HEADERS, [headers, *blind], "python -m trust.fuzz headers FOLDER"),
        _row(IMPORTS, [imports], "python -m trust.fuzz imports FOLDER"),
    ]
    commands = (
        f"FUZZING={size.properties} pytest tests/properties",
        f"FUZZING={size.requests} pytest {SEQUENCES}",
    )
    for promise, tried, command in zip((PROPERTIES, REQUESTS), others, commands, strict=False):
        report.rows.append(_row(promise, [tried], command))
    total = sum(row.tried for row in report.rows)
    report.notes.append(
        f"{total:,} inputs in all. In {size.seconds} seconds each, the fuzzer reached "
        f"{headers.covered} branches by headers and {imports.covered} by files. Then it tried "
        f"{2 * rest:,} headers without counting what they reach."
    )
    for each in (headers, imports, *others, *blind):
        report.notes += each.problems
    return report


def _guided(folder: Path, seconds: int, target: str) -> Tried:
    return fuzz(target, folder, f"--seconds={seconds}", f"--seed={SEED}")


def _blind(folder: Path, runs: int, number: int) -> Tried:
    """Start from what the guided run has found, each in a folder of its own."""
    corpus = folder / f"blind-{number}"
    copytree(folder / "headers", corpus / "headers")
    options = ("--blind", f"--runs={runs}", "--seconds=0", f"--seed={SEED + number}")
    return fuzz("headers", corpus, *options)


def _row(promise: str, tried: Sequence[Tried], shown_by: str) -> Row:
    return Row(
        promise,
        sum(each.number for each in tried),
        sum(each.failed for each in tried),
        shown_by,
        BEFORE.get(promise, ""),
    )
