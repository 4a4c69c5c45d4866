"""``REQUEST_LOG = "buffered"``: rows wait in memory, and a thread writes them in batches."""

from __future__ import annotations

import atexit
import logging
import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from threading import Condition, Lock, Thread, current_thread
from weakref import WeakSet

from django.db import close_old_connections, connections
from django.utils import timezone

from ..logs import RateLimitedLogger
from . import insertion
from .entries import Entry
from .sinks import Sink

logger = logging.getLogger(__name__)

# Numbers of rows
CAPACITY = 10_000  # may wait
BATCH = 500  # are written at once, at most
ENOUGH = 200  # don't wait for others

# Seconds
PERIOD = 0.4  # for which a row waits for others; a second is promised, including the INSERT
QUIET = 3.0  # without rows, after which the thread and its connection end
PAUSE_MAX = 5.0  # after a failure, at most
PATIENCE = 5.0  # for which flush() and the end of a process wait for the thread


class BufferedSink(Sink):
    """Takes rows without waiting. A crash loses at most a second or 500 rows.

    While the table can't be written, rows wait for the next attempt, and a crash loses them all. If
    the buffer is full, new rows are dropped, counted and reported. The first row starts the thread.
    """

    blocks = False  # except in tests, where it writes at once

    def __init__(self) -> None:
        self._reset()
        _sinks.add(self)

    def _reset(self) -> None:
        """Start empty, also in a forked process, which has its parent's rows, locks and thread."""
        self._waiting: deque[Entry] = deque()
        # How many rows to write next: fewer after a failure; 0 if a single row failed.
        self._size = BATCH
        self._lost = self._reported = 0
        self._changed = Condition(Lock())
        self._writing = Lock()
        self._thread: Thread | None = None
        self._is_closing = False
        self._log_error = RateLimitedLogger(
            logger,
            "The request log: %s. Requests continue without it. This process has lost %d so far.",
        )

    def write(self, entry: Entry) -> None:
        if insertion.is_test_run():
            # A thread would write outside of the test's transaction, or after the test.
            insertion.insert([entry])
            return
        with self._changed:
            is_full = len(self._waiting) >= CAPACITY
            if is_full:
                self._lost += entry.number
            else:
                self._waiting.append(entry)
                if len(self._waiting) in (1, ENOUGH):
                    self._changed.notify()
            self._start()
        if _is_exiting and self._thread is None:
            self._flush_here()
        if is_full:
            self._log_error(f"{CAPACITY} rows wait, and the buffer is full", self._lost)

    def flush(self) -> None:
        """Write all rows so far, in this thread, with its connection and in its transaction.

        Raises:
            TimeoutError: another thread is still writing after five seconds.
            Exception: the database's. The rows wait for the next attempt.
        """
        if not self._writing.acquire(timeout=PATIENCE):
            raise TimeoutError("Writing the request log takes too long.")
        try:
            self._write_waiting()
        finally:
            self._writing.release()

    def close(self) -> None:
        """Write the waiting rows, within some seconds, and end the thread. Raises nothing.

        If more rows were lost since the last time, their number is logged. A later row starts
        another thread.
        """
        with self._changed:
            self._is_closing, thread = True, self._thread
            self._changed.notify()
        if thread is not None:
            thread.join(PATIENCE)
        else:
            self._flush_here()
        with self._changed:
            self._is_closing = False
            lost = self._lost + len(self._waiting)
        if lost > self._reported:
            self._reported = lost
            logger.error("%d requests are not in the request log.", lost)

    def _start(self) -> None:
        if self._thread is None and not _is_exiting:
            thread = Thread(target=self._run, name="frappe_tokens request log", daemon=True)
            # RuntimeError: there are too many threads, or (from Python 3.12 on) the process is
            # exiting. The next row tries again, and _at_exit() writes.
            with suppress(RuntimeError):
                thread.start()
                self._thread = thread

    def _flush_here(self) -> None:
        try:
            if self._waiting:
                close_old_connections()
                self.flush()
        except Exception:
            self._log_error("the table can't be written", self._lost)

    def _run(self) -> None:
        try:
            self._write_rows()
        finally:
            connections.close_all()
            with self._changed:
                # By now, there may be another thread.
                if self._thread is current_thread():
                    self._thread = None

    def _write_rows(self) -> None:
        pause = 0.0
        while self._wait(pause):
            try:
                with self._writing:
                    self._write_waiting(commit=True)
                if not self._waiting:
                    # As at the end of a request, but not under load, because connecting is slow.
                    close_old_connections()
                pause = 0.0
            except Exception:
                connections.close_all()
                waiting = len(self._waiting)
                self._log_error(f"the table can't be written, and {waiting} rows wait", self._lost)
                pause = min(max(2 * pause, PERIOD), PAUSE_MAX)

    def _wait(self, pause: float) -> bool:
        """Wait until rows can be written, or for ``pause``. Return False to end the thread."""
        with self._changed:
            gives_up = bool(pause) and self._is_closing
            if not gives_up:
                self._changed.wait_for(lambda: self._waiting or self._is_closing, QUIET)
                self._changed.wait_for(
                    lambda: (
                        self._is_closing
                        or (not pause and len(self._waiting) >= min(self._size, ENOUGH))
                    ),
                    pause or PERIOD,
                )
            if gives_up or not self._waiting:
                # While locked, so that the next row starts another thread.
                self._thread = None
            return self._thread is not None

    def _write_waiting(self, commit: bool = False) -> None:
        """Write all rows that wait now, oldest first. The caller holds ``_writing``."""
        left = len(self._waiting)
        while left > 0:
            with self._changed:
                size = max(min(self._size, insertion.rows_max()), 1)
                oldest = list(islice(self._waiting, size))
            if self._insert(oldest, commit):
                left -= len(oldest)
                with self._changed:
                    for _ in oldest:
                        self._waiting.popleft()

    def _insert(self, entries: Sequence[Entry], commit: bool) -> bool:
        """Write ``entries``. Return False to try fewer of them.

        Bisection finds rows that the table refuses. A row is lost if it fails alone, twice, while
        the table accepts another row.
        """
        try:
            insertion.insert(entries, commit=commit)
        except Exception:
            # The table may be partitioned, and without a partition for the row's time.
            if not any(map(insertion.can_insert, (entries[0].at, timezone.now()))):
                raise
            if self._size:
                self._size = min(self._size, len(entries)) // 2
                return False
            with self._changed:
                self._lost += entries[0].number
            self._log_error("the table doesn't accept a row", self._lost)
        self._size = min(max(2 * self._size, 1), BATCH)
        return True


_sinks: WeakSet[BufferedSink] = WeakSet()
_is_exiting = False


def _at_exit() -> None:
    global _is_exiting
    _is_exiting = True
    for sink in list(_sinks):
        sink.close()


def _after_fork() -> None:
    for sink in list(_sinks):
        sink._reset()


atexit.register(_at_exit)
with suppress(AttributeError):  # on Windows, which doesn't fork
    os.register_at_fork(after_in_child=_after_fork)
