"""Where the entries of the request log go."""

from __future__ import annotations

import logging
import time

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from ..conf import conf
from ..db import LOCK_SECONDS
from ..logs import RateLimitedLogger
from . import insertion
from .entries import Entry

logger = logging.getLogger(__name__)

_PATHS = {
    "durable": f"{__name__}.DurableSink",
    "buffered": "frappe_tokens.request_log.buffered.BufferedSink",
    "null": f"{__name__}.NullSink",
}

# A write that took this long to fail (s) waited for a lock. Requests in the next seconds would wait
# as long, one after another, so they aren't logged.
SLOW = LOCK_SECONDS / 2
REST = 5

# How long a row of counts waits for a lock (s). Only the end of the process waits for it.
COUNTS_LOCK_SECONDS = 5


class Sink:
    """Takes entries. Subclasses are instantiated once per process, without arguments.

    Attributes:
        blocks: whether :meth:`write` may wait for a database or a network. An async server then
            calls it in a thread.
    """

    blocks = True

    def write(self, entry: Entry) -> None:
        """Take ``entry``, in any thread. Errors are logged and never reach the request."""
        # As in Django's own base classes, such as that of mail backends. The log reports it.
        raise NotImplementedError("A sink must define write().")

    def flush(self) -> None:
        """Return once everything written so far is stored, or raise an exception."""

    def close(self) -> None:
        """Store everything, because the server stops. More entries may still follow."""
        self.flush()


class NullSink(Sink):
    """Stores nothing."""

    blocks = False

    def write(self, entry: Entry) -> None:
        """Do nothing."""


class DurableSink(Sink):
    """Stores each request before its response is sent, by one INSERT."""

    def __init__(self) -> None:
        self._log_error = RateLimitedLogger(
            logger,
            "The request log can't be written. Requests continue without it. This process has "
            "lost %d so far.",
        )
        self._lost = 0
        self._rests_until = 0.0

    def write(self, entry: Entry) -> None:
        started = time.monotonic()
        if started < self._rests_until:
            self._lost += entry.number
            return
        try:
            seconds = LOCK_SECONDS if entry.method else COUNTS_LOCK_SECONDS
            insertion.insert([entry], lock_seconds=seconds)
        except Exception:
            self._lost += entry.number
            ended = time.monotonic()
            if ended - started >= SLOW:
                self._rests_until = ended + REST
            self._log_error(self._lost)


_sinks: dict[str, Sink] = {}


def current_sink() -> Sink:
    """Return the sink that ``REQUEST_LOG`` names now.

    Raises:
        ImproperlyConfigured: it doesn't name one.
    """
    name = conf.REQUEST_LOG
    if name in _sinks:
        return _sinks[name]
    try:
        sink = import_string(_PATHS.get(name, name))()
        if not isinstance(sink, Sink):
            raise TypeError("It does not extend frappe_tokens.request_log.Sink.")
    except Exception as error:
        raise ImproperlyConfigured(
            f"FRAPPE_TOKENS['REQUEST_LOG'] is {name!r}, which can't be used: "
            f"{type(error).__name__}: {error}"
        ) from error
    # If two threads create one, the first is used.
    return _sinks.setdefault(name, sink)
