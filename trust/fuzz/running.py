"""Runs the fuzzers, and the tests that make up input, in processes of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]

_EXECUTED = re.compile(r"^stat::number_of_executed_units: *(\d+)", re.MULTILINE)
_COVERED = re.compile(r"\bcov: (\d+)")
_EXAMPLES = re.compile(r"- (\d+) passing(?: examples?)?, (\d+) failing")


@dataclass(frozen=True, slots=True)
class Tried:
    """How much input was tried.

    Attributes:
        failed: how often a promise was broken.
        covered: how many branches of the app the input reached, if that was counted.
        problems: what broke a promise, as text.
    """

    number: int
    failed: int = 0
    covered: int = 0
    problems: tuple[str, ...] = ()


def fuzz(target: str, folder: Path, *options: str) -> Tried:
    """Run ``python -m trust.fuzz``, which ends at the first input that breaks the promise."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "trust.fuzz", target, str(folder), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    executed = _EXECUTED.search(done.stderr)
    covered = _COVERED.findall(done.stderr)
    number = int(executed[1]) if executed else 0
    if done.returncode == 0 and executed:
        return Tried(number, covered=int(covered[-1]) if covered else 0)
    found = sorted(folder.glob(f"{target}-*-*"))
    inputs = [f"input {path.read_bytes()!r}" for path in found]
    return Tried(max(number, 1), 1, problems=(*inputs, done.stderr[-2_000:]))


def run_tests(folder: Path, times: int, *tests: str) -> Tried:
    """Run tests with ``times`` as much made-up input as in the suite."""
    report = folder / f"{Path(tests[0]).name}.xml"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:xdist"),
            *("-p", "no:sugar", "--hypothesis-show-statistics", f"--junitxml={report}"),
            *("-o", "junit_family=xunit1", "--hypothesis-seed=2026", *tests),
        ],
        cwd=ROOT,
        env={**os.environ, "FUZZING": str(times), "DATABASE_URL": "", "REDIS_URL": ""},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    examples = sum(int(a) + int(b) for a, b in _EXAMPLES.findall(done.stdout))
    if not report.exists():
        return Tried(0, 1, problems=(done.stdout[-2_000:] + done.stderr[-2_000:],))
    tree = ElementTree.parse(report)  # noqa: S314 - our own
    requests = [
        int(each.get("value", "0"))
        for each in tree.iter("property")
        if each.get("name") == "requests"
    ]
    failures = [*tree.iter("failure"), *tree.iter("error")]
    return Tried(
        examples + sum(requests),
        len(failures),
        problems=tuple(str(each.text)[-2_000:] for each in failures),
    )
