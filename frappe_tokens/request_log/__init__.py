"""The request log: every request that had an ``Authorization`` header, and what came of it.

:class:`~frappe_tokens.middleware.RequestLogMiddleware` hands an :class:`Entry` for each to the
:class:`Sink` that ``FRAPPE_TOKENS["REQUEST_LOG"]`` names.
"""

from .entries import Entry, entry_of
from .sinks import NullSink, Sink, make_sink, present_sink

__all__ = [
    "Entry",
    "NullSink",
    "Sink",
    "entry_of",
    "make_sink",
    "present_sink",
]
