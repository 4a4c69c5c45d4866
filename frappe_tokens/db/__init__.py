"""SQL and model instances in general. Nothing here knows what an API key is."""

from .bulk import in_batches, insert_rows, update_rows
from .instances import InstanceFactory, WritesChangesOnly
from .json_text import with_json_text
from .outages import (
    close_lost_connections,
    explain,
    is_conflict,
    is_outage,
    mark_broken_transactions,
)
from .timeouts import LOCK_SECONDS, execute_insert, short_locks, statement_timeout

__all__ = [
    "LOCK_SECONDS",
    "InstanceFactory",
    "WritesChangesOnly",
    "close_lost_connections",
    "execute_insert",
    "explain",
    "in_batches",
    "insert_rows",
    "is_conflict",
    "is_outage",
    "mark_broken_transactions",
    "short_locks",
    "statement_timeout",
    "update_rows",
    "with_json_text",
]
