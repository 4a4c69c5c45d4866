"""Runs the tests that cover each mutant, in two processes side by side."""

from __future__ import annotations

import json
import os
import queue
import tempfile
import threading
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .equivalent import Key
from .making import ROOT, Mutant
from .mapping import PATIENCE, PROCESSES, Map, start_pytest
from .statuses import FAILED, KILLED, MUST_IMPORT, SURVIVED

if TYPE_CHECKING:
    from typing_extensions import Self  # typing's own comes with Python 3.11

# How many tests a process runs one after another without any change.
CONTROL = 100


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a mutant: ``killed``, ``too slow``, ``survived`` or ``no test``.

    ``by`` is the test that noticed it.
    """

    mutant: Mutant
    result: str
    by: str = ""
    tests: int = 0

    @property
    def is_killed(self) -> bool:
        return self.result in ("killed", "too slow")


def run(mutants: Sequence[Mutant], tests: Map, report: Callable[[Outcome], None]) -> list[Outcome]:
    """Return what became of each mutant."""
    outcomes: dict[Key, Outcome] = {}

    def work(worker: Worker, mutant: Mutant) -> None:
        outcome = outcomes[mutant.key] = worker.outcome(mutant)
        report(outcome)

    if mutants:
        _side_by_side(mutants, tests, work)
    return [outcomes[mutant.key] for mutant in mutants]


def try_harder(
    outcomes: Sequence[Outcome],
    tests: Map,
    report: Callable[[Outcome], None],
    listed: Container[Key],
) -> list[Outcome]:
    """Return the outcomes after more tests of what none has noticed, and isn't ``listed``."""
    again = [one.mutant for one in outcomes if not one.is_killed and one.mutant.key not in listed]
    found = {one.mutant.key: one for one in run(again, replace(tests, patience=PATIENCE), report)}
    return [found.get(outcome.mutant.key, outcome) for outcome in outcomes]


def failing(names: Iterable[str], tests: Map) -> list[str]:
    """Return which of the tests fail although nothing was changed."""
    found: list[str] = []
    ordered = tests.in_order(names)
    parts = [ordered[start : start + CONTROL] for start in range(0, len(ordered), CONTROL)]
    _side_by_side(parts, tests, lambda worker, part: found.extend(worker.failing(part)))
    return found


def _side_by_side(things: Iterable[Any], tests: Map, work: Callable[[Worker, Any], None]) -> None:
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for thing in things:
        waiting.put(thing)
    errors: list[BaseException] = []

    def take(number: int) -> None:
        try:
            with Worker(tests, number) as worker:
                while not errors and not waiting.empty():
                    try:
                        work(worker, waiting.get_nowait())
                    except queue.Empty:
                        return
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=take, args=[number]) for number in range(PROCESSES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


class Worker:
    """A process that forks for each mutant, and others that import one."""

    def __init__(self, tests: Map, number: int) -> None:
        self.tests = tests
        self._database = tests.database and f"{tests.database}_{number}"
        self._folder = tempfile.TemporaryDirectory()
        self._log = Path(self._folder.name, "log")

    def __enter__(self) -> Self:
        requests, to_server = os.pipe()
        from_server, answers = os.pipe()
        paths = [str(ROOT / path) for path in self.tests.lines]
        self._process = start_pytest(
            self._folder.name,
            {"mode": "serve", "paths": paths, "requests": requests, "answers": answers},
            self.tests.files,
            log=self._log,
            pass_fds=(requests, answers),
            database=self._database,
            settings=self.tests.settings,
        )
        os.close(requests)
        os.close(answers)
        self._requests, self._answers = os.fdopen(to_server, "w"), os.fdopen(from_server)
        self._answer()
        return self

    def __exit__(self, *error: object) -> None:
        self._requests.close()
        self._process.wait()
        self._answers.close()
        self._folder.cleanup()

    def outcome(self, mutant: Mutant) -> Outcome:
        names, at_import = self.tests.tests_for(mutant)
        if not names:
            return Outcome(mutant, "no test")
        # What imports run may only seem to survive without one.
        status, test = self._forked(names, mutant)
        if status == MUST_IMPORT or (at_import and status == SURVIVED):
            status, test = self._imported(names, mutant)
        if status == SURVIVED:
            return Outcome(mutant, "survived", tests=len(names))
        self.tests.noticed[mutant.path][test] += 1
        return Outcome(mutant, "killed" if status >= KILLED else "too slow", test, len(names))

    def failing(self, names: Sequence[str]) -> list[str]:
        """Return which of the tests fail although nothing was changed."""
        found: list[str] = []
        while names:
            status, test = self._forked(names)
            if status == SURVIVED:
                break
            found.append(test)
            names = names[names.index(test) + 1 :]
        return found

    def _request(self, names: Sequence[str], mutant: Mutant | None) -> dict[str, Any]:
        return {
            "path": "" if mutant is None else str(ROOT / mutant.path),
            "source": "" if mutant is None else mutant.source,
            "tests": names,
            "seconds": {name: self.tests.seconds[name] for name in names},
        }

    def _forked(self, names: Sequence[str], mutant: Mutant | None = None) -> tuple[int, str]:
        self._requests.write(json.dumps(self._request(names, mutant)) + "\n")
        self._requests.flush()
        answer = self._answer()
        ran = answer["ran"].splitlines()
        if answer["status"] == FAILED and not ran:
            raise RuntimeError(f"{mutant} could not be tried")
        return answer["status"], ran[-1] if ran else ""

    def _answer(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            raise RuntimeError(f"pytest ended: {self._log.read_text()[-3000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _imported(self, names: Sequence[str], mutant: Mutant) -> tuple[int, str]:
        last = Path(self._folder.name, "last")
        last.write_text("")
        given = {"request": self._request(names, mutant), "result": str(last)}
        files = list(dict.fromkeys(name.partition("::")[0] for name in names))
        process = start_pytest(
            self._folder.name,
            {"mode": "import", **given},
            ["-x", *files],
            log=Path(self._folder.name, "import.log"),
            database=self._database and f"{self._database}_import",
            settings=self.tests.settings,
        )
        return process.wait(), last.read_text() or "its import"
