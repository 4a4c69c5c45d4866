"""Records requests."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest

from ..waiting import MustWait
from . import insertion, pruning
from .entries import entry_for
from .sinks import NullSink, current_sink
from .unproven import limit


def record(
    request: HttpRequest, at: datetime, seconds: float, status: int, *, may_wait: bool = True
) -> None:
    """Log ``request``, whose response started after ``seconds``, or only count it.

    Raises:
        MustWait: not ``may_wait``, and nothing is recorded without waiting.
        Exception: the sink's, or because of an invalid setting.
    """
    sink = current_sink()
    if isinstance(sink, NullSink):
        return
    if not may_wait and (sink.blocks or insertion.is_test_run()):
        raise MustWait
    entry = entry_for(request, at, seconds, status)
    if limit.admits(request, entry, may_wait=may_wait):
        sink.write(entry)
    pruning.start_if_due()


def close() -> None:
    """Write everything that was recorded so far, and close the log.

    Raises:
        Exception: the sink's.
    """
    limit.write_counts()
    current_sink().close()
