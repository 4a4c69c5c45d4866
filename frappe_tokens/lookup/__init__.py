"""Finds the key that a request presents, in one SELECT or in the cache, and records its use."""

from .cache import invalidate
from .find import Found, find, source_model
from .invalidation import connect as connect_invalidation
from .last_used import record_use
from .statement import Columns

__all__ = [
    "Columns",
    "Found",
    "connect_invalidation",
    "find",
    "invalidate",
    "record_use",
    "source_model",
]
