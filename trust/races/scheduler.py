"""Runs calls in threads of which one goes on at a time, from one stop to the next.

The stops are before statements, commits, rollbacks and calls of the cache. A random choice with a
seed decides who goes on, so the same seed repeats the same order.

A thread that waits for a lock of the database reaches no stop. Whether it waits is asked of the
database (``locks.py``), not guessed from the time, because a busy machine is slow.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from django.db import OperationalError, connection

from .locks import connection_id, is_busy, waiting_ids

_Result = TypeVar("_Result")

# How long to wait for the next stop before the database is asked, and for the end of a deadlock.
PATIENCE = 0.004
DEADLOCK_SECONDS = 0.1
# Longer than any server takes to end a deadlock.
HANG_SECONDS = 60.0

_thread = threading.local()
_changed = threading.Condition()
_moments = itertools.count(1)


class Hang(RuntimeError):
    """No thread goes on."""


def moment() -> int:
    """Return a number that is larger than all before it."""
    return next(_moments)


def stop(label: str) -> None:
    """Let another thread go on, if this is one of a race."""
    worker: Worker | None = getattr(_thread, "worker", None)
    if worker is not None:
        worker.stop(label)


@dataclass(slots=True)
class Outcome:
    """What a call returned or raised, when it began and ended, and when it committed last."""

    result: Any = None
    error: Exception | None = None
    began: int = 0
    ended: int = 0
    committed: int = 0


class Worker:
    """A thread with a connection of its own, for one race after another."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state: Literal["idle", "stopped", "running"] = "idle"
        self.at = ""
        self.is_locked_out = self.must_fail = self.waits = False
        self.is_in_transaction = False
        self.connection_id: int | None = None
        self.outcome = Outcome()
        self._call: Callable[[], Any] | None = None
        # Since this transaction began: SQLite doesn't wait in one that has read.
        self._statements = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def begin(self, call: Callable[[], Any]) -> None:
        self.outcome, self._call, self.state = Outcome(), call, "running"
        self.is_locked_out = self.must_fail = False
        if not self._thread.is_alive():
            self._thread.start()

    def end(self) -> None:
        """End the thread. It must be idle."""
        if self._thread.is_alive():
            with _changed:
                self._call, self.state = None, "running"
                _changed.notify_all()
            self._thread.join()

    def go_on(self) -> None:
        with _changed:
            self.state = "running"
            _changed.notify_all()

    def stop(self, label: str, *, is_locked_out: bool = False) -> None:
        with _changed:
            self.at, self.is_locked_out, self.state = label, is_locked_out, "stopped"
            self.waits, self.is_in_transaction = is_locked_out, connection.in_atomic_block
            _changed.notify_all()
            _changed.wait_for(lambda: self.state == "running")

    def _run(self) -> None:
        _thread.worker = self
        connection.ensure_connection()
        self.connection_id = connection_id(connection)
        connection.execute_wrappers.append(self._execute)
        connection._commit = self._stopping("COMMIT", connection._commit)  # type: ignore[attr-defined]
        connection._rollback = self._stopping("ROLLBACK", connection._rollback)  # type: ignore[attr-defined]
        try:
            while self._call is not None:
                self._attempt(self._call)
                with _changed:
                    self.state = "idle"
                    _changed.notify_all()
                    _changed.wait_for(lambda: self.state == "running")
        finally:
            connection.close()

    def _attempt(self, call: Callable[[], Any]) -> None:
        self.stop("start")
        self.outcome.began = moment()
        try:
            self.outcome.result = call()
        except Exception as error:
            self.outcome.error = error
        self.outcome.ended = moment()

    def _execute(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        words = str(sql).replace('"', "").replace("`", "").split()
        if words[0] in {"BEGIN", "START"}:
            self._statements = 0
        table = next((word for word in words if word.startswith(_TABLES)), "")
        self.stop(f"{words[0]} {table}".strip())
        result = self._patient(words[0], lambda: execute(sql, params, many, context))
        if words[0] not in {"BEGIN", "SAVEPOINT", "RELEASE"}:
            self._statements += 1
        return result

    def _stopping(self, label: str, call: Callable[[], object]) -> Callable[[], None]:
        def stopping() -> None:
            self.stop(label)
            self._patient(label, call)
            if label == "COMMIT":
                self.outcome.committed = moment()

        return stopping

    def _patient(self, label: str, call: Callable[[], _Result]) -> _Result:
        """Wait where SQLite would wait, whose own waiting nobody can see."""
        while True:
            try:
                return call()
            except OperationalError as error:
                waits = not connection.in_atomic_block or not self._statements or label == "COMMIT"
                if not is_busy(error) or not waits or self.must_fail:
                    raise
                self.stop(f"{label} again", is_locked_out=True)


_TABLES = ("auth_", "frappe_tokens_", "sources_", "django_")


class Race:
    """Calls that run at the same time, in an order that ``choices`` decides."""

    def __init__(self, workers: Sequence[Worker], choices: random.Random) -> None:
        self.workers = workers
        self.choices = choices
        self.steps: list[str] = []
        self.waits = 0

    def run(self, calls: Sequence[Callable[[], Any]]) -> list[Outcome]:
        """Run the calls to their ends.

        Raises:
            Hang: they don't end.
        """
        racing = list(self.workers[: len(calls)])
        for worker, call in zip(racing, calls, strict=True):
            with _changed:
                worker.begin(call)
                _changed.notify_all()
        self._settle(racing)
        while True:
            stopped = [worker for worker in racing if worker.state == "stopped"]
            if not stopped:
                return [worker.outcome for worker in racing]
            able = [worker for worker in stopped if not worker.is_locked_out]
            if not able:
                # Each waits for another, which SQLite ends after its timeout.
                stopped[0].must_fail = True
            worker = self.choices.choice(able or stopped)
            self.steps.append(f"{worker.name}: {worker.at}")
            # Others that wait can't go on before a transaction ends.
            releases = worker.at.startswith(("COMMIT", "ROLLBACK")) or not worker.is_in_transaction
            worker.go_on()
            self._settle(racing, releases=releases)
            if not worker.is_locked_out:
                for other in racing:
                    if other is not worker:
                        other.is_locked_out = False

    def _settle(self, racing: Sequence[Worker], *, releases: bool = True) -> None:
        """Wait until each thread stops, ends, or waits for a lock of one that has stopped."""
        if not releases:
            with _changed:
                if _changed.wait_for(
                    lambda: all(worker.waits for worker in _running(racing)), PATIENCE
                ) and any(worker.state == "stopped" for worker in racing):
                    return
        gives_up = time.monotonic() + HANG_SECONDS
        blocked_since = None
        while True:
            with _changed:
                patience = PATIENCE / 10 if all(w.waits for w in _running(racing)) else PATIENCE
                _changed.wait_for(lambda: not _running(racing), patience)
                running = _running(racing)
            if not running:
                return
            waiting = waiting_ids(connection)
            with _changed:
                is_blocked = running == _running(racing) and all(
                    worker.connection_id in waiting for worker in running
                )
            if not is_blocked:
                blocked_since = None
            elif blocked_since is None:
                blocked_since = time.monotonic()
            if blocked_since is not None and any(worker.state == "stopped" for worker in racing):
                # Two may wait for each other, until the server notices.
                needed = DEADLOCK_SECONDS if len(running) > 1 else 0
                if time.monotonic() - blocked_since >= needed:
                    self.waits += sum(not worker.waits for worker in running)
                    for worker in running:
                        worker.waits = True
                    return
            if time.monotonic() > gives_up:
                raise Hang(", ".join(f"{worker.name} after {worker.at}" for worker in running))


def _running(workers: Sequence[Worker]) -> list[Worker]:
    return [worker for worker in workers if worker.state == "running"]
