"""``REQUEST_LOG = "buffered"``: rows wait in memory, and a thread writes them in batches."""

from __future__ import annotations

import atexit
import logging
import os
from collections import deque
from contextlib import suppress
from itertools import groupby, islice
from operator import itemgetter
from threading import Condition, Lock, Thread, current_thread
from weakref import WeakSet

from django.db import close_old_connections, connections

from ..logs import RateLimitedLogger
from . import insertion
from .entries import Entry
from .sinks import Sink

logger = logging.getLogger(__name__)

# Numbers of rows: how many may wait, how many an INSERT takes, and how many are written at once.
CAPACITY = 10_000
BATCH = 500
ENOUGH = 200

# How long a row waits for others (s). A second is promised, and the INSERT takes time as well.
PERIOD = 0.4
# After so many of these without a row the thread ends. The next row starts another.
QUIET_PERIODS = 8
# The longest pause after a failure (s).
PAUSE_MAX = 5.0
# How long the end of a process and flush() wait for the thread (s).
PATIENCE = 5.0


class BufferedSink(Sink):
    """Takes rows without waiting. A crash loses at most a second or 500 rows.

    While the table can't be written, rows wait and are tried again, and a crash loses them all. If
    the buffer is full, new rows are dropped, counted and reported. The thread starts with the first
    row, and ends after a while without rows.
    """

    blocks = False

    def __init__(self) -> None:
        self._reset()
        _sinks.add(self)

    def _reset(self) -> None:
        """Start empty, also in a forked process: rows, locks and thread are its parent's."""
        # Each with the name of its database, so that rows of a run of tests don't get into the
        # project's own: Django restores the name afterwards.
        self._waiting: deque[tuple[object, Entry]] = deque()
        self._lost = self._reported = 0
        self._changed = Condition(Lock())
        self._writing = Lock()
        self._thread: Thread | None = None
        self._is_running = False
        self._is_closing = False
        self._log_error = RateLimitedLogger(
            logger,
            "The request log: %s. Requests continue without it. This process has lost %d so far.",
        )

    def write(self, entry: Entry) -> None:
        database = insertion.database_name()
        with self._changed:
            waiting = len(self._waiting)
            if waiting < CAPACITY:
                self._waiting.append((database, entry))
                if waiting + 1 == ENOUGH:
                    self._changed.notify()
            else:
                self._lost += 1
            has_thread = self._is_running or self._start()
        if _is_exiting and not has_thread:
            self._flush_at_exit()
        if waiting >= CAPACITY:
            self._log_error(f"{CAPACITY} rows wait, and the buffer is full", self._lost)

    def flush(self) -> None:
        """Write all rows so far, in this thread, by its connection and in its transaction.

        Raises:
            TimeoutError: another thread has been writing for five seconds, and still is.
            Exception: the database's. The rows wait for the next try.
        """
        if not self._writing.acquire(timeout=PATIENCE):
            raise TimeoutError("Writing the request log takes too long.")
        try:
            left = len(self._waiting)
            while left > 0:
                left -= self._write_batch()
        finally:
            self._writing.release()

    def close(self) -> None:
        """Write the waiting rows, within some seconds, and end the thread.

        It raises nothing, and logs the number of lost rows if it has grown since the last time. A
        later row starts another thread.
        """
        with self._changed:
            self._is_closing, thread, is_running = True, self._thread, self._is_running
            self._changed.notify()
        if thread is not None:
            thread.join(PATIENCE)
        if not is_running:
            self._flush_at_exit()
        with self._changed:
            self._is_closing = False
            lost, reported = self._lost + len(self._waiting), self._reported
            self._reported = lost
        if lost > reported:
            logger.error("%d requests are not in the request log.", lost)

    def _start(self) -> bool:
        thread = Thread(target=self._run, name="frappe_tokens request log", daemon=True)
        # There may be too many threads, or (from Python 3.12 on) the process ends. The next row
        # tries again, and _at_exit() writes.
        with suppress(RuntimeError):
            if not _is_exiting:
                thread.start()
                self._thread, self._is_running = thread, True
        return self._is_running

    def _flush_at_exit(self) -> None:
        """Flush in this thread, because no other will."""
        try:
            if self._waiting:
                close_old_connections()
                self.flush()
        except Exception:
            self._log_error("the table can't be written", self._lost)

    def _run(self) -> None:
        pause, quiet = 0.0, 0
        try:
            while self._wait(pause, quiet):
                if not self._waiting:
                    quiet += 1
                    continue
                quiet = 0
                if self._try():
                    pause = 0.0
                elif self._is_closing:
                    break
                else:
                    pause = min(max(2 * pause, PERIOD), PAUSE_MAX)
        finally:
            connections.close_all()
            with self._changed:
                # Unless there is another thread by now.
                self._is_running &= self._thread is not current_thread()

    def _wait(self, pause: float, quiet: int) -> bool:
        """Wait until there may be something to do; return False if the thread must end."""
        with self._changed:
            if not self._is_closing and (pause or len(self._waiting) < ENOUGH):
                self._changed.wait(pause or PERIOD)
            if not self._waiting and (self._is_closing or quiet >= QUIET_PERIODS):
                # While locked, so that a row that comes now starts another thread.
                self._is_running = False
            return self._is_running

    def _try(self) -> bool:
        """Write a batch by the thread's own connection; return whether that succeeded."""
        try:
            with self._writing:
                written = self._write_batch(commit=True)
        except Exception:
            connections.close_all()
            with self._changed:
                waiting, lost = len(self._waiting), self._lost
            self._log_error(f"the table can't be written, and {waiting} rows wait", lost)
            return False
        if written < ENOUGH:
            # As at the end of a request. Under load, connecting would cost more than the batch.
            close_old_connections()
        return True

    def _write_batch(self, commit: bool = False) -> int:
        """Write the oldest rows, while holding ``_writing``; return how many were taken."""
        with self._changed:
            oldest = list(islice(self._waiting, BATCH))
        for database, rows in groupby(oldest, itemgetter(0)):
            entries = [entry for _, entry in rows]
            if insertion.connects_to(database):
                insertion.insert_batch(entries, self._take_off, commit=commit)
            else:
                self._take_off(len(entries))
                logger.info("%d requests of another database are left out.", len(entries))
        return len(oldest)

    def _take_off(self, number: int, are_refused: bool = False) -> None:
        """Remove the oldest rows from the buffer."""
        with self._changed:
            for _ in range(number):
                self._waiting.popleft()
            self._lost += number if are_refused else 0
            lost = self._lost
        if are_refused:
            self._log_error("the table doesn't accept a row", lost)


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
