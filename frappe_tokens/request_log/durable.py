"""``REQUEST_LOG = "durable"``: the row is written before the answer leaves."""

from __future__ import annotations

import logging
import time

from ..logs import RateLimitedLogger
from . import insertion
from .entries import Entry
from .sinks import Sink

logger = logging.getLogger(__name__)

# A write that took this long to fail (s) waited for a lock. The requests of the next seconds
# would wait as long, one after the other, so they go on without.
SLOW = insertion.LOCK_SECONDS / 2
REST = 5


class DurableSink(Sink):
    """One INSERT for each request, in the request."""

    def __init__(self) -> None:
        self._log_error = RateLimitedLogger(
            logger,
            "The request log cannot be written. Requests go on without; %d of this process are "
            "not on record so far.",
        )
        self._lost = 0
        self._rests_until = 0.0

    def write(self, entry: Entry) -> None:
        began = time.monotonic()
        if began < self._rests_until:
            self._lost += 1
            return
        try:
            insertion.insert([entry])
        except Exception:
            self._lost += 1
            ended = time.monotonic()
            if ended - began >= SLOW:
                self._rests_until = ended + REST
            self._log_error(self._lost)
