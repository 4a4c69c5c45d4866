"""Limits what clients without a correct secret can write into the request log.

Per minute, ``REQUEST_LOG_LIMIT`` of these requests from each address get a row, and a hundred times
as many from all addresses together. Further requests are only counted: at the end of the minute,
each process writes one row with their number for each address and outcome.

The limit is counted in Django's cache for all processes. Each process counts too, in case the cache
is down.
"""

from __future__ import annotations

import atexit
import logging
import os
import time
from collections import Counter
from contextlib import suppress
from datetime import datetime
from threading import Lock, Timer

from django.core.cache import caches
from django.db import connections
from django.http import HttpRequest

from ..conf import conf
from ..logs import RateLimitedLogger
from ..verification import get_outcome, increment, network_of
from ..waiting import MustWait, is_in_memory
from . import (
    batches,  # noqa: F401 - exit handlers run in reverse: this one must be registered first, to run last
    insertion,
)
from .entries import Entry
from .sinks import current_sink

_logger = logging.getLogger(__name__)
_log_error = RateLimitedLogger(_logger, "Counted requests can't be logged.")
_log_cache_error = RateLimitedLogger(
    _logger,
    "The cache doesn't answer. Each process limits by itself what requests without a correct "
    "secret write into the request log.",
)

PREFIX = "frappe_tokens:logged:"
SECONDS = 60

# The limit of all addresses together, as a multiple of the limit of one.
ADDRESSES = 100
# How many rows of counts a process writes per minute. Further addresses are counted together.
COUNTS_MAX = 500

_ALL = "all"


class Limit:
    """What this process knows about the current minute."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything, for tests, and in a forked process, which has its parent's counts."""
        self._lock = Lock()
        self._minute = 0
        # The addresses beyond the limit, and what this process has logged for each.
        self._full: set[str] = set()
        self._logged = Counter[str]()
        # When the first of the counted requests arrived, and their number.
        self._counted: dict[tuple[str, str], tuple[datetime, int]] = {}
        self._timer: Timer | None = None

    def admits(self, request: HttpRequest, entry: Entry, *, may_wait: bool = True) -> bool:
        """Whether the ``entry`` of ``request`` may be written. If not, it is counted.

        Raises:
            MustWait: not ``may_wait``, and the cache must be asked, which isn't in local memory.
        """
        if not self.applies_to(request):
            return True
        network = network_of(entry.ip or "")
        if self._has_room(network, conf.REQUEST_LOG_LIMIT or 0, may_wait):
            return True
        self._count(network, entry)
        return False

    def applies_to(self, request: HttpRequest) -> bool:
        """Whether ``request`` had no correct secret, and there is a limit for that."""
        outcome = get_outcome(request)
        if outcome is not None and outcome.key is not None:
            return False
        # In tests, all rows are written, and not by a thread.
        return conf.REQUEST_LOG_LIMIT is not None and not insertion.is_test_run()

    def write_counts(self) -> None:
        """Pass the counts so far to the request log."""
        with self._lock:
            self._timer = None
            waiting = len(self._counted)
        # Not those that arrive meanwhile: under a flood, this would never end.
        for _ in range(waiting):
            # One by one: if the process ends, its exit handler writes what a thread hasn't.
            with self._lock:
                if not self._counted:
                    return
                place = network, outcome = next(iter(self._counted))
                at, number = self._counted.pop(place)
            try:
                current_sink().write(
                    Entry(at, None, "", "", "", "", 0, 0, network or None, "", outcome, number)
                )
            except Exception:
                _log_error()

    def _has_room(self, network: str, limit: int, may_wait: bool) -> bool:
        minute = int(time.time() // SECONDS)
        with self._lock:
            # A thread may be late by a minute. Any more means that the clock was set back.
            if not self._minute - 1 <= minute <= self._minute:
                self._minute = minute
                self._full.clear()
                self._logged.clear()
            minute = self._minute
            if not limit or _ALL in self._full or network in self._full:
                return False
        if not (may_wait or is_in_memory(caches[conf.CACHE or "default"])):
            raise MustWait
        for name, most in ((network, limit), (_ALL, limit * ADDRESSES)):
            if self._add(minute, name) > most:
                with self._lock:
                    self._full.add(name)
                return False
        return True

    def _add(self, minute: int, name: str) -> int:
        """Count a row, and return how many there are for ``name`` in this minute."""
        with self._lock:
            self._logged[name] += 1
            own = self._logged[name]
        try:
            cache = caches[conf.CACHE or "default"]
            shared = increment(cache, f"{PREFIX}{minute}:{name}", 1, SECONDS + 1)
        except Exception:
            _log_cache_error()
            return own
        # A cache that evicts the count must not lift the limit.
        return max(own, shared)

    def _count(self, network: str, entry: Entry) -> None:
        with self._lock:
            place = network, entry.outcome
            if place not in self._counted and len(self._counted) >= COUNTS_MAX:
                place = "", entry.outcome
            since, number = self._counted.get(place, (entry.at, 0))
            self._counted[place] = since, number + 1
            if self._timer is None:
                timer = Timer(SECONDS - time.time() % SECONDS, self._write_in_thread)
                timer.name, timer.daemon = "frappe_tokens request counts", True
                # There may be too many threads: the next request tries again.
                with suppress(RuntimeError):
                    timer.start()
                    self._timer = timer

    def _write_in_thread(self) -> None:
        try:
            self.write_counts()
        finally:
            connections.close_all()


limit = Limit()

atexit.register(limit.write_counts)
with suppress(AttributeError):  # on Windows, which doesn't fork
    os.register_at_fork(after_in_child=limit.reset)
