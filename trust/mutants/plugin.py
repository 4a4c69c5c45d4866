"""A plugin of pytest that runs tests against mutants (``-p trust.mutants.plugin``).

``MUTANTS`` in the environment says how: ``map`` records which test runs which lines, ``serve``
forks this process, in which everything is imported, for each mutant, and ``import`` imports one.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .applying import Caches, Live, MutantFinder
from .statuses import FAILED, KILLED, MUST_IMPORT, SURVIVED, WARM_UP

# Some mutants never end, and some take all memory. The limits are of processor time, because
# machines are busy, and only those that wait for ever are ended by the clock.
MEMORY = 6 * 1024**3
SECONDS, FACTOR = 5, 30
LONGEST_WAIT = 120

ROOT = Path(__file__).resolve().parents[2]


class Mapper:
    """Records the lines of each test, and how long it takes."""

    def __init__(self, paths: list[str], part: int, parts: int, result: str) -> None:
        from coverage import Coverage

        self._part, self._parts, self._result, self._paths = part, parts, result, paths
        self._coverage = Coverage(
            data_file=None, config_file=False, include=paths, concurrency=["thread"]
        )
        self._coverage.start()
        self._seconds: dict[str, float] = {}
        self._unusable: dict[str, str] = {}
        self._late: set[str] = set()
        self._caches: Caches | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        files = sorted({item.path for item in items})
        mine = {*files[self._part :: self._parts]}
        items[:] = [_warm_up(items), *(i for i in items if i.path in mine and i.nodeid != WARM_UP)]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        if item.nodeid != WARM_UP:
            # What an earlier test has computed would hide that this one depends on it, too.
            self._caches = self._caches or Caches()
            self._caches.clear()
            self._coverage.switch_context(item.nodeid)
            if item.get_closest_marker("commits"):
                self._late.add(item.nodeid)
        began = time.process_time()
        try:
            return (yield)
        finally:
            self._coverage.switch_context("between")
            self._seconds[item.nodeid] = time.process_time() - began

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self._unusable[report.nodeid] = report.outcome

    def pytest_sessionfinish(self) -> None:
        self._coverage.stop()
        data = self._coverage.get_data()
        lines = {path: data.contexts_by_lineno(path) for path in self._paths}
        Path(self._result).write_text(
            json.dumps(
                {
                    "lines": lines,
                    "seconds": self._seconds,
                    "late": sorted(self._late),
                    "unusable": self._unusable,
                }
            )
        )


class Server:
    """Reads mutants from a pipe, and writes what became of them to another."""

    def __init__(self, paths: list[str], requests: int, answers: int) -> None:
        self._paths = [Path(path) for path in paths]
        self._requests = os.fdopen(requests)
        self._answers = os.fdopen(answers, "w")
        self._is_child = False

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        self._warm_up = items.pop(WARM_UP)
        # Any other: what is left set up is what both share.
        _run(self._warm_up, next(iter(items.values())))
        live, database = Live(self._paths), _Database()
        self._answer({"ready": True})
        for line in self._requests:
            request = json.loads(line)
            database.restore()
            reading, writing = os.pipe()
            child = os.fork()
            if not child:
                os.close(reading)
                self._run(request, live, items, writing)
            os.close(writing)
            with os.fdopen(reading) as pipe:
                ran = pipe.read()
            _, status = os.waitpid(child, 0)
            self._answer({"status": os.waitstatus_to_exitcode(status), "ran": ran})
        database.restore()
        database.remove()
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            if not self._is_child:
                raise RuntimeError(f"{report.nodeid} failed: {report.longreprtext}")
            os._exit(KILLED)

    def _answer(self, answer: dict[str, Any]) -> None:
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()

    def _run(
        self, request: dict[str, Any], live: Live, items: dict[str, pytest.Item], pipe: int
    ) -> None:
        """In the child: run the tests, and end with the first that fails."""
        self._is_child = True
        status = FAILED
        try:
            _be_quiet()
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            if request["source"]:
                self._exchange(live, request)
            chosen = [items[name] for name in request["tests"]]
            for item, following in zip(chosen, [*chosen[1:], self._warm_up], strict=True):
                os.write(pipe, f"{item.nodeid}\n".encode())
                _limit(request["seconds"][item.nodeid])
                _run(item, following)
            status = SURVIVED
        finally:
            os._exit(status)

    def _exchange(self, live: Live, request: dict[str, Any]) -> None:
        try:
            if not live.exchange(Path(request["path"]), request["source"]):
                os._exit(MUST_IMPORT)
        except Exception:  # which an import would raise too
            os._exit(KILLED)


class Importer:
    """Runs the chosen tests in their order, by default all, each with a limit."""

    def __init__(self, request: dict[str, Any], result: str) -> None:
        self._request, self._result = request, result
        if request["source"]:
            MutantFinder(ROOT / request["path"], request["source"]).install()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        _limit(60)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        found = {item.nodeid: item for item in items}
        items[:] = [found[name] for name in self._request.get("tests", found)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        Path(self._result).write_text(item.nodeid)
        _limit(self._request.get("seconds", {}).get(item.nodeid, 2) + 10)


class _Database:
    """The database as it was set up, for each mutant again."""

    def __init__(self) -> None:
        from django.db import connection, connections

        connections.close_all()
        self._connection, self._name = connection, str(connection.settings_dict["NAME"])
        self._copy = f"{self._name}_as_set_up"
        if connection.vendor == "sqlite":
            shutil.copyfile(self._name, self._copy)
        else:
            self._copy_database(self._name, self._copy)

    def restore(self) -> None:
        if self._connection.vendor != "sqlite":
            self._copy_database(self._copy, self._name)
            return
        file = Path(self._name)
        for left in file.parent.glob(f"{file.name}-*"):
            left.unlink()
        shutil.copyfile(self._copy, file)

    def remove(self) -> None:
        if self._connection.vendor != "sqlite":
            self._execute(f'DROP DATABASE "{self._copy}"')

    def _copy_database(self, source: str, target: str) -> None:
        self._execute(f'DROP DATABASE IF EXISTS "{target}" WITH (FORCE)')
        self._execute(f'CREATE DATABASE "{target}" TEMPLATE "{source}"')

    def _execute(self, statement: str) -> None:
        import psycopg

        # Not Django's connection: no test runs now that may use it.
        parameters = {**self._connection.get_connection_params(), "dbname": "postgres"}
        with psycopg.connect(**parameters, autocommit=True) as connection:
            connection.execute(statement)


def _run(item: pytest.Item, following: pytest.Item) -> None:
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)


def _warm_up(items: list[pytest.Item]) -> pytest.Item:
    return next(item for item in items if item.nodeid == WARM_UP)


def _limit(seconds: float) -> None:
    """End this process if it isn't called again in time. Nothing can catch that."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS + FACTOR * seconds)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_WAIT)


def _be_quiet() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)


def _plugin() -> object:
    given = json.loads(Path(os.environ["MUTANTS"]).read_text())
    return {"map": Mapper, "serve": Server, "import": Importer}[given.pop("mode")](**given)


_chosen = _plugin()


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_chosen, "mutants")
