"""Records every request with an ``Authorization`` header, and counts the requests of keys.

:class:`~frappe_tokens.middleware.RequestLogMiddleware` passes an :class:`Entry` for each request to
the :class:`Sink` that ``FRAPPE_TOKENS["REQUEST_LOG"]`` names.
"""

from .batches import BatchSink
from .entries import Entry
from .pruning import delete_in_batches, old_rows
from .recording import close, record
from .sinks import NullSink, Sink, current_sink
from .usage import (
    DAYS,
    DAYS_MAX,
    SAMPLE,
    Day,
    Usage,
    latest_of,
    local,
    requests_of_key,
    requests_of_user,
    sources_of,
    usage_of,
)

__all__ = [
    "DAYS",
    "DAYS_MAX",
    "SAMPLE",
    "BatchSink",
    "Day",
    "Entry",
    "NullSink",
    "Sink",
    "Usage",
    "close",
    "current_sink",
    "delete_in_batches",
    "latest_of",
    "local",
    "old_rows",
    "record",
    "requests_of_key",
    "requests_of_user",
    "sources_of",
    "usage_of",
]
