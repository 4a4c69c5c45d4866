"""SQL and model instances in general. Nothing here knows what an API key is."""

from .bulk import in_batches, insert_rows, update_rows
from .instances import InstanceFactory, WritesChangesOnly
from .timeouts import LOCK_SECONDS, bounded_insert, statement_timeout

__all__ = [
    "LOCK_SECONDS",
    "InstanceFactory",
    "WritesChangesOnly",
    "bounded_insert",
    "in_batches",
    "insert_rows",
    "statement_timeout",
    "update_rows",
]
