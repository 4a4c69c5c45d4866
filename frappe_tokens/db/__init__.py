"""SQL and model instances in general. Nothing here knows what an API key is."""

from .bulk import in_batches, insert_rows, update_rows
from .instances import (
    WritesChangesOnly,
    cached_instance_factory,
    has_default_constructor,
    has_plain_columns,
    instance_factory,
)
from .timeouts import LOCK_SECONDS, bounded_insert, statement_timeout

__all__ = [
    "LOCK_SECONDS",
    "WritesChangesOnly",
    "bounded_insert",
    "cached_instance_factory",
    "has_default_constructor",
    "has_plain_columns",
    "in_batches",
    "insert_rows",
    "instance_factory",
    "statement_timeout",
    "update_rows",
]
