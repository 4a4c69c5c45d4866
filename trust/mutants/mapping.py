"""Finds out which tests run which lines, and how long each takes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .making import ROOT, Mutant
from .statuses import WARM_UP

PROCESSES = 2

# Without servers, browsers and Node.js, and on SQLite also without what needs a database server.
MARKS = {
    "sqlite": "not (browser or node or parallel or process or server)",
    "postgresql": "not (browser or node or process or server)",
}

# How much processor time the tests of one mutant may take until one of them fails, in seconds.
BUDGET = 5.0

# The same for those that commit, in addition. They are slow, and would rarely get a turn.
LATE_BUDGET = 3.0

# How many times as much the mutants get that no test has noticed, and that aren't listed.
PATIENCE = 15


@dataclass(slots=True)
class Map:
    """Which tests run which lines, and how much time each takes.

    Attributes:
        lines: the names of the tests by path and line. "" stands for imports, and for what is
            set up once for all tests.
        seconds: of the processor, by the names of the tests.
        late: the tests with real transactions, which empty the database.
        failed: the tests that failed although nothing was changed.
        files: the files of all tests.
        noticed: how many mutants of a module each test has noticed so far.
        patience: by how much the budgets are multiplied.
        database: the URL of a database on PostgreSQL, which each process adds its number to.
        settings: the module of other settings than the usual ones.
    """

    lines: dict[str, dict[int, set[str]]]
    files: Sequence[str]
    seconds: dict[str, float] = field(default_factory=dict)
    late: set[str] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    noticed: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    patience: int = 1
    database: str = ""
    settings: str = ""
    _known_ways: dict[str, dict[str, frozenset[int]]] = field(default_factory=dict)

    def tests_for(self, mutant: Mutant) -> tuple[list[str], bool]:
        """Return the tests that run the mutant, and whether imports run it."""
        by_line = self.lines[mutant.path]
        first, last = mutant.lines
        found: set[str] = set().union(*(by_line.get(n, ()) for n in range(first, last + 1)))
        at_import = "" in found
        if at_import and not self.seconds.keys() & found:
            # What uses the name that is assigned, or else all of the module.
            found = self._using(mutant) or set().union(*by_line.values())
        early = self.in_order(found - self.late, mutant.path, BUDGET * self.patience)
        late = self.in_order(found & self.late, mutant.path, LATE_BUDGET * self.patience)
        return [*early, *late], at_import

    def _using(self, mutant: Mutant) -> set[str]:
        """Return the tests that run lines with a name that ``mutant`` assigns."""
        lines = (ROOT / mutant.path).read_text().splitlines()
        # The first line of the statement, of which the mutant may have changed a later one.
        assigned = re.match(r"(\w+(?:, \w+)*)\b[^=(]*=", lines[mutant.lines[0] - 1])
        if assigned is None:
            return set()
        names = re.compile(rf"\b({assigned[1].replace(', ', '|')})\b")
        numbers = [number for number, line in enumerate(lines, start=1) if names.search(line)]
        found = set().union(*(self.lines[mutant.path].get(number, ()) for number in numbers))
        return found & self.seconds.keys()

    def _ways(self, path: str) -> dict[str, frozenset[int]]:
        """Return the lines of the module that each test runs."""
        if path not in self._known_ways:
            lines: defaultdict[str, set[int]] = defaultdict(set)
            for number, names in self.lines.get(path, {}).items():
                for name in names:
                    lines[name].add(number)
            self._known_ways[path] = {name: frozenset(found) for name, found in lines.items()}
        return self._known_ways[path]

    def in_order(
        self, names: Iterable[str], path: str = "", budget: float = float("inf")
    ) -> list[str]:
        """Return the tests, as many as take ``budget`` seconds.

        Those come first that have noticed most. Then each way through the module has a turn, that
        is, each set of its lines that a test runs, and among those tests each file, with its
        fastest test: slow files would have none otherwise. The files that are named after the
        module or its folder have four tests a turn.
        """
        noticed, ways = self.noticed[path], self._ways(path)
        own = f"test_{Path(path).stem}.py", f"test_{Path(path).parent.name}.py"
        of_files: Counter[object] = Counter()
        turn: dict[str, int] = {}
        for name in sorted(
            self.seconds.keys() & names, key=lambda name: (self.seconds[name], name)
        ):
            file = name.partition("::")[0]
            turn[name] = of_files[ways.get(name), file] // (4 if file.endswith(own) else 1)
            of_files[ways.get(name), file] += 1
        of_ways: Counter[object] = Counter()
        for name in sorted(turn, key=lambda name: (turn[name], self.seconds[name], name)):
            turn[name] = of_ways[ways.get(name)]
            of_ways[ways.get(name)] += 1
        ordered = sorted(
            turn,
            key=lambda name: (
                name in self.late,
                -noticed[name],
                turn[name],
                not name.partition("::")[0].endswith(own),
                self.seconds[name],
                name,
            ),
        )
        total = 0.0
        chosen: list[str] = []
        for name in ordered:
            total += self.seconds[name]
            if total > budget and chosen:
                break
            chosen.append(name)
        return chosen


def measure(
    paths: Sequence[str], tests: Sequence[str], *, database: str = "", settings: str = ""
) -> Map:
    """Run ``tests`` once, and record which lines of ``paths`` each of them runs.

    They run on SQLite, or on PostgreSQL with the URL of a ``database`` that needn't exist.
    """
    whole = [str(ROOT / path) for path in paths]
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder, f"{part}.log") for part in range(PROCESSES)]
        results = [Path(folder, f"{part}.json") for part in range(PROCESSES)]
        given = {"mode": "map", "paths": whole, "parts": PROCESSES}
        running = [
            start_pytest(
                folder,
                {**given, "part": part, "result": str(result)},
                tests,
                log=log,
                database=database and f"{database}_{part}",
                settings=settings,
            )
            for part, (result, log) in enumerate(zip(results, logs, strict=True))
        ]
        for process, result, log in zip(running, results, logs, strict=True):
            process.wait()
            if not result.exists():
                raise RuntimeError(log.read_text()[-3000:])
        parts = [json.loads(result.read_text()) for result in results]
    merged = Map({path: {} for path in paths}, tests, database=database, settings=settings)
    for part in parts:
        merged.seconds |= part["seconds"]
        merged.late |= {*part["late"]}
        merged.failed += [name for name, why in part["unusable"].items() if why == "failed"]
        for name in part["unusable"]:
            merged.seconds.pop(name, None)
        for path, whole_path in zip(paths, whole, strict=True):
            for line, names in part["lines"][whole_path].items():
                merged.lines[path].setdefault(int(line), set()).update(names)
    merged.seconds.pop(WARM_UP, None)
    return merged


def start_pytest(
    folder: str,
    given: dict[str, Any],
    arguments: Sequence[str],
    *,
    log: Path,
    pass_fds: Sequence[int] = (),
    database: str = "",
    settings: str = "",
) -> subprocess.Popen[bytes]:
    """Start pytest with :mod:`.plugin`, which gets ``given``; by default on SQLite."""
    marks = MARKS["postgresql" if database else "sqlite"]
    handle, name = tempfile.mkstemp(dir=folder, suffix=".json")
    with os.fdopen(handle, "w") as file:
        json.dump(given, file)
    command = [sys.executable, "-m", "pytest", "-p", "trust.mutants.plugin", "-m", marks]
    for plugin in ("randomly", "xdist", "sugar", "cacheprovider"):
        command += ["-p", f"no:{plugin}"]
    if settings:
        command.append(f"--ds={settings}")
    command += ["--capture=no", "-q", *([] if given["mode"] == "import" else [WARM_UP])]
    environment = {**os.environ, "MUTANTS": name, "PYTHONPATH": str(ROOT)}
    for setting in ("FUZZING", "REDIS_URL"):
        environment.pop(setting, None)
    environment["DATABASE_URL"] = database
    with log.open("w") as output:
        return subprocess.Popen(
            [*command, *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=pass_fds,
        )
