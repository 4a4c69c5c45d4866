"""``REQUEST_LOG = "buffered"``: rows wait in memory, and a thread writes them in batches."""

from __future__ import annotations

import atexit
import logging
import os
from collections import deque
from contextlib import suppress
from itertools import groupby, islice
from threading import Condition, Lock, Thread, current_thread
from weakref import WeakSet

from django.db import close_old_connections, connections

from ..logs import RateLimitedLogger
from . import batch
from .entries import Entry
from .sinks import Sink

logger = logging.getLogger(__name__)

# Rows: how many may wait, how many one INSERT takes, and how many are not kept waiting.
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
    """Takes rows without waiting. A crash loses a second or 500 rows at the most.

    While the table cannot be written, rows are kept and tried again, and a crash loses them all.
    Where the buffer is full, new ones are dropped, counted and reported. The thread starts with the
    first row, and ends when there have been none for a while.
    """

    blocks = False

    def __init__(self) -> None:
        self._begin()
        _sinks.add(self)

    def _begin(self) -> None:
        """Be as new; also in a forked process, where rows, locks and thread are the parent's."""
        self._waiting: deque[tuple[batch.Database, Entry]] = deque()
        self._lost = self._told = 0
        self._changed = Condition(Lock())
        self._writing = Lock()
        self._thread: Thread | None = None
        self._is_running = False
        self._ends = False
        self._log_error = RateLimitedLogger(
            logger,
            "The request log: %s. Requests go on without; %d of this process are not on record "
            "so far.",
        )

    def write(self, entry: Entry) -> None:
        database = batch.present_database()
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
            self._flush_here()
        if waiting >= CAPACITY:
            self._log_error(f"{CAPACITY} rows wait, and there is no room for more", self._lost)

    def flush(self) -> None:
        """Write all that was taken until now, in this thread and by its connection.

        In a transaction of the caller's, the rows are part of it.

        Raises:
            TimeoutError: another thread has been writing for five seconds, and still is.
            Exception: what the database says. The rows stay, for the next try.
        """
        if not self._writing.acquire(timeout=PATIENCE):
            raise TimeoutError("The request log is being written, and that takes too long.")
        try:
            left = len(self._waiting)
            while left > 0:
                left -= self._write_batch()
        finally:
            self._writing.release()

    def close(self) -> None:
        """Write what waits, within some seconds, and end the thread. A later row starts another.

        Nothing is raised. How many rows are lost in all is logged, where it is more than the last
        time.
        """
        with self._changed:
            self._ends, thread, is_running = True, self._thread, self._is_running
            self._changed.notify()
        if thread is not None:
            thread.join(PATIENCE)
        if not is_running:
            self._flush_here()
        with self._changed:
            self._ends = False
            lost, told = self._lost + len(self._waiting), self._told
            self._told = lost
        if lost > told:
            logger.error("%d requests are not in the request log.", lost)

    def _start(self) -> bool:
        thread = Thread(target=self._run, name="frappe_tokens request log", daemon=True)
        try:
            if not _is_exiting:
                thread.start()
                self._thread, self._is_running = thread, True
        except RuntimeError:
            # Too many threads, or (from Python 3.12 on) the process ends. The next row tries
            # again, and what runs at the exit writes.
            pass
        return self._is_running

    def _flush_here(self) -> None:
        """Where there is no thread, and the process ends."""
        try:
            if self._waiting:
                close_old_connections()
                self.flush()
        except Exception:
            self._log_error("the table cannot be written", self._lost)

    def _run(self) -> None:
        pause, quiet = 0.0, 0
        try:
            while self._wait(pause, quiet):
                if not self._waiting:
                    quiet += 1
                    continue
                quiet = 0
                has_failed = not self._try()
                pause = min(max(2 * pause, PERIOD), PAUSE_MAX) if has_failed else 0.0
                if has_failed and self._ends:
                    break
        finally:
            connections.close_all()
            with self._changed:
                # Unless there is another by now.
                self._is_running &= self._thread is not current_thread()

    def _wait(self, pause: float, quiet: int) -> bool:
        """Wait until there may be something to do; False where the thread is to end."""
        with self._changed:
            if not self._ends and (pause or len(self._waiting) < ENOUGH):
                self._changed.wait(pause or PERIOD)
            if not self._waiting and (self._ends or quiet >= QUIET_PERIODS):
                # Said under the lock: a row that comes now starts another thread.
                self._is_running = False
            return self._is_running

    def _try(self) -> bool:
        """Write a batch by the thread's own connection; whether that was done."""
        try:
            with self._writing:
                written = self._write_batch(commit=True)
        except Exception:
            connections.close_all()
            with self._changed:
                waiting, lost = len(self._waiting), self._lost
            self._log_error(f"the table cannot be written, and {waiting} rows wait", lost)
            return False
        if written < ENOUGH:
            # As at the end of a request. Under load a new connection for each batch would cost
            # more than the batch.
            close_old_connections()
        return True

    def _write_batch(self, commit: bool = False) -> int:
        """Write the oldest rows, as ``_writing`` allows; how many have been dealt with."""
        with self._changed:
            oldest = list(islice(self._waiting, BATCH))
        for has_database, run in groupby(oldest, lambda row: batch.is_there(row[0])):
            databases, entries = zip(*run, strict=True)
            if has_database and batch.is_reached(databases[0]):
                batch.write(entries, self._done, commit=commit)
            else:
                self._take_off(len(entries))
                logger.info("%d requests of another database are left out.", len(entries))
        return len(oldest)

    def _done(self, number: int, is_written: bool) -> None:
        lost = self._take_off(number, lost=0 if is_written else number)
        if not is_written:
            self._log_error("the table does not take a row", lost)

    def _take_off(self, number: int, lost: int = 0) -> int:
        """Have the oldest rows wait no more; how many are lost by now."""
        with self._changed:
            for _ in range(number):
                self._waiting.popleft()
            self._lost += lost
            return self._lost


_sinks: WeakSet[BufferedSink] = WeakSet()
_is_exiting = False


def _at_exit() -> None:
    global _is_exiting
    _is_exiting = True
    for sink in list(_sinks):
        sink.close()


def _after_fork() -> None:
    for sink in list(_sinks):
        sink._begin()


atexit.register(_at_exit)
with suppress(AttributeError):  # on Windows, where nothing forks
    os.register_at_fork(after_in_child=_after_fork)
