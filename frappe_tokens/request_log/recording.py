"""Records requests."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest

from . import insertion, pruning
from .entries import entry_for
from .sinks import NullSink, current_sink
from .unproven import limit


def record(request: HttpRequest, at: datetime, seconds: float, status: int) -> None:
    """Log ``request``, whose response started after ``seconds``, or only count it.

    Raises:
        Exception: the sink's, or because of an invalid setting.
    """
    sink = current_sink()
    if isinstance(sink, NullSink):
        return
    entry = entry_for(request, at, seconds, status)
    if limit.admits(request, entry):
        sink.write(entry)
    pruning.start_if_due()


def waits(request: HttpRequest) -> bool:
    """Whether :func:`record` may wait for a database or a cache."""
    sink = current_sink()
    if isinstance(sink, NullSink):
        return False
    return sink.blocks or insertion.is_test_run() or limit.applies_to(request)


def close() -> None:
    """Write everything that was recorded so far, and close the log.

    Raises:
        Exception: the sink's.
    """
    limit.write_counts()
    current_sink().close()
