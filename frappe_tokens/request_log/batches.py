"""Entries wait in memory, and a thread sends them in batches."""

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

from ..logs import RateLimitedLogger
from . import insertion
from .entries import Entry
from .sinks import Sink

logger = logging.getLogger(__name__)

# Numbers of entries
CAPACITY = 10_000  # may wait
BATCH = 500  # are sent at once, at most
ENOUGH = 200  # don't wait for others

# Seconds
PERIOD = 0.4  # for which an entry waits for others; a second is promised, including sending
QUIET = 3.0  # without entries, after which the thread and its connection end
PAUSE_MAX = 5.0  # after a failure, at most
PATIENCE = 5.0  # for which flush() and the end of a process wait for the thread


class BatchSink(Sink):
    """Takes entries without waiting. A crash loses at most a second or 500 entries.

    While they can't be sent, they wait for the next attempt, and a crash loses them all. If the
    buffer is full, new ones are dropped, counted and reported. The first entry starts the thread.

    Subclasses define :meth:`send`.
    """

    blocks = False  # except in tests, where it sends at once

    def __init__(self) -> None:
        self.reset()
        _sinks.add(self)

    def send(self, entries: Sequence[Entry]) -> None:
        """Store all ``entries``, or raise an exception.

        After an exception, they are sent again, perhaps with others after them. Except in tests, no
        two threads send at once.
        """
        # As in Sink.write(): a subclass that forgot it is reported by the log.
        raise NotImplementedError("A sink must define send().")

    def disconnect(self) -> None:
        """Close what :meth:`send` has opened, because it failed, or because the thread ends."""

    def _close_old_connections(self) -> None:
        """Close what may be too old to use. Nothing was sent lately, or will be soon."""

    def lose(self, number: int, why: str) -> None:
        """Count that many requests as lost, and report it: "The request log <why>."."""
        with self._changed:
            self._lost += number
        self._log_error(why, self._lost)

    def reset(self) -> None:
        """Start empty, also in a forked process, which has its parent's rows, locks and thread.

        A subclass that opens connections must not use its parent's either.
        """
        self._waiting: deque[Entry] = deque()
        # How many entries to send next, at most. 0 means one, too.
        self._size = BATCH
        self._lost = self._reported = 0
        self._changed = Condition(Lock())
        self._writing = Lock()
        self._thread: Thread | None = None
        self._is_closing = False
        self._log_error = RateLimitedLogger(
            logger,
            "The request log %s. Requests continue without it. This process has lost %d so far.",
        )

    def write(self, entry: Entry) -> None:
        if insertion.is_test_run():
            # A thread would write outside of the test's transaction, or after the test.
            self.send([entry])
            return
        with self._changed:
            is_full = len(self._waiting) >= CAPACITY
            if not is_full:
                self._waiting.append(entry)
                if len(self._waiting) in (1, ENOUGH):
                    self._changed.notify()
            self._start()
        if _is_exiting and self._thread is None:
            self._flush_here()
        if is_full:
            self.lose(entry.number, f"has a full buffer of {CAPACITY} rows")

    def flush(self) -> None:
        """Send all entries so far, in this thread.

        Raises:
            TimeoutError: another thread is still sending after five seconds.
            Exception: from :meth:`send`. The entries wait for the next attempt.
        """
        if not self._writing.acquire(timeout=PATIENCE):
            raise TimeoutError("Writing the request log takes too long.")
        try:
            self._send_waiting()
        finally:
            self._writing.release()

    def close(self) -> None:
        """Send the waiting entries, within some seconds, and end the thread. Raises nothing.

        If more entries were lost since the last time, their number is logged. A later entry starts
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
            # exiting. The next entry tries again, and _at_exit() sends.
            with suppress(RuntimeError):
                thread.start()
                self._thread = thread

    def _flush_here(self) -> None:
        try:
            if self._waiting:
                self._close_old_connections()
                self.flush()
        except Exception:
            self._log_error("can't be written", self._lost)

    def _run(self) -> None:
        try:
            self._send_in_turn()
        finally:
            self.disconnect()
            with self._changed:
                # By now, there may be another thread.
                if self._thread is current_thread():
                    self._thread = None

    def _send_in_turn(self) -> None:
        pause = 0.0
        while self._wait(pause):
            try:
                with self._writing:
                    self._send_waiting()
                if not self._waiting:
                    # As at the end of a request, but not under load, because connecting is slow.
                    self._close_old_connections()
                pause = 0.0
            except Exception:
                self.disconnect()
                waiting = len(self._waiting)
                self._log_error(f"can't be written, and {waiting} rows wait", self._lost)
                pause = min(max(2 * pause, PERIOD), PAUSE_MAX)

    def _wait(self, pause: float) -> bool:
        """Wait until entries can be sent, or for ``pause``. Return False to end the thread."""
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
                # While locked, so that the next entry starts another thread.
                self._thread = None
            return self._thread is not None

    def _send_waiting(self) -> None:
        """Send all entries that wait now, oldest first. The caller holds ``_writing``."""
        left = len(self._waiting)
        while left > 0:
            with self._changed:
                oldest = list(islice(self._waiting, self._batch_size()))
            if self._sent(oldest):
                left -= len(oldest)
                with self._changed:
                    for _ in oldest:
                        self._waiting.popleft()

    def _batch_size(self) -> int:
        return max(self._size, 1)

    def _sent(self, entries: Sequence[Entry]) -> bool:
        """Send ``entries``. Return False to try fewer of them."""
        self.send(entries)
        return True


_sinks: WeakSet[BatchSink] = WeakSet()
_is_exiting = False


def _at_exit() -> None:
    global _is_exiting
    _is_exiting = True
    for sink in list(_sinks):
        sink.close()


def _after_fork() -> None:
    for sink in list(_sinks):
        sink.reset()


atexit.register(_at_exit)
with suppress(AttributeError):  # on Windows, which doesn't fork
    os.register_at_fork(after_in_child=_after_fork)
