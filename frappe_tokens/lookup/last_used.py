"""Recording when and from where a key was used."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime
from typing import Any

from django.db import DatabaseError, InterfaceError, connections, router, transaction
from django.db.models import Q

from .. import crypto
from ..conf import conf
from ..db import LOCK_SECONDS, close_lost_connections, explain, short_locks
from ..logs import RateLimitedLogger
from ..waiting import MustWait
from .find import Found

_log_error = RateLimitedLogger(
    logging.getLogger("frappe_tokens.lookup"), "The use of API key %s could not be recorded: %s"
)

# An UPDATE that took this long to fail (s) waited for a lock. Those of the next seconds would wait
# as long, so this process makes none.
_SLOW = LOCK_SECONDS / 2
_REST = 5

_rests_until: dict[str, float] = {}


def reset() -> None:
    """Forget that a lock was held, like a new process. For tests."""
    _rests_until.clear()


def record_use(
    found: Found,
    *,
    now: datetime,
    address: Callable[[], str],
    secret: str,
    slot: str,
    may_wait: bool = True,
) -> None:
    """Record that a key was used, if that is due, and replace an outdated digest.

    This takes one UPDATE at most, and none within ``LAST_USED_INTERVAL`` of the last one. It never
    fails the request: errors are logged.

    Args:
        address: returns the client's address, "" if unknown. Called only if it's recorded.
        secret: the secret that was verified.
        slot: the name of the field whose digest it matched.

    Raises:
        MustWait: not ``may_wait``, and there is something to record.
    """
    key = found.key
    digest = getattr(key, slot)
    used = ("last_used_at",) if slot == "secret_digest" else ("last_used_at", "previous_used_at")
    interval = conf.LAST_USED_INTERVAL
    # A time ahead of the clock was recorded before the clock was set back.
    due, ahead = now - interval, now + interval
    outdated = [
        name for name in used if (last := getattr(key, name)) is None or not due < last <= ahead
    ]
    is_current = crypto.is_current(digest)
    if is_current and not outdated:
        if found.slot is not None:
            found.store(_next_use(key.last_used_at, due))
        return
    if not may_wait:
        raise MustWait
    changes: dict[str, Any] = dict.fromkeys(outdated, now)
    # The UPDATE repeats each condition, so that only one of many processes writes, and not over a
    # secret that is being replaced.
    conditions = [~Q(**{f"{name}__gt": due, f"{name}__lte": ahead}) for name in outdated]
    if "last_used_at" in changes:
        changes["last_used_ip"] = address() or None
    if not is_current:
        changes[slot] = crypto.make_digest(secret)
        conditions.append(Q(**{slot: digest}))
    due_at = _next_use(changes.get("last_used_at", key.last_used_at), due)
    changed = found.changed(changes)

    def write() -> None:
        # The model's own queryset would invalidate the cache entries of all keys.
        stored = type(key)._base_manager.using(alias).filter(*conditions, pk=key.pk)
        started = time.monotonic()
        if started < _rests_until.get(alias, 0):
            return
        try:
            # An error would end a transaction that the project manages itself.
            is_manual = not connection.get_autocommit()
            with (
                transaction.atomic(using=alias) if is_manual else nullcontext(),
                short_locks(connection),
            ):
                stored.update(**changes)
        except (DatabaseError, InterfaceError) as error:
            ended = time.monotonic()
            if ended - started >= _SLOW:
                _rests_until[alias] = ended + _REST
            _log_error(key.api_key, explain(error))
            # For the view's own queries, if the key came from the cache.
            close_lost_connections()
        else:
            for name, value in changes.items():
                setattr(key, name, value)
            changed.store(due_at)

    alias = router.db_for_write(type(key))
    try:
        connection = connections[alias]
        if connection.in_atomic_block or connection.get_autocommit():
            # In the request's transaction, the row would stay locked until its end.
            transaction.on_commit(write, using=alias, robust=True)
        else:
            # A transaction that the project manages itself has no hooks.
            write()
    except (DatabaseError, InterfaceError) as error:
        # If the key came from the cache, this is the first use of the database.
        _log_error(key.api_key, explain(error))


def _next_use(used_at: Any, due: datetime) -> float:
    """Return when the use after the one at ``used_at`` must be recorded (s since 1970)."""
    # Relative to now, because the times may be naive and local.
    seconds: float = (used_at - due).total_seconds()
    return time.time() + seconds
