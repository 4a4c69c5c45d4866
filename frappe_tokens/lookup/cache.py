"""Verified keys in Django's cache. A change takes effect in all processes at once.

A key's *slot* holds the random word of the reader that cached the key, or a mark that the key has
changed. Its *entry* holds the columns, and is valid only while the slot holds its word. A *barrier*
marks a change to many keys of a model.

A reader looks at slot and barrier before it queries the database. Only if both are empty does it
cache the row, by ``add()``, which overwrites no mark. A writer sets the mark before its commit and
again after it. A mark outlives every entry that was read before it, so neither a slow reader nor a
writer that dies after its commit leaves an old row behind. The mark of a change that is rolled back
only costs queries until it expires.

If the cache doesn't answer, the database does. After an error, a slow answer, or ``OUT_OF_TOUCH``
seconds of silence, a process doesn't trust older entries. So changes that were made while the cache
was down take effect at once when it is back, even with older data. A process that couldn't set a
mark sets the barrier when it reaches the cache again. This process's own memory is always trusted.

Not covered: the cache loses its last writes without any of these signs, it evicts a mark, or only
the process that makes a change is cut off from it. An old entry is then used until it expires, at
most ``CACHE_TIMEOUT`` after its row was read.
"""

from __future__ import annotations

import logging
import math
import secrets
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from django.core.cache import caches
from django.db import transaction

from ..base_models import AbstractApiKey
from ..conf import conf
from ..logs import RateLimitedLogger
from ..waiting import is_in_memory
from .statement import Columns

_logger = logging.getLogger("frappe_tokens.key_cache")
_log_cache_error = RateLimitedLogger(
    _logger, "The cache doesn't answer. Keys are read from the database."
)
_log_lost_mark = RateLimitedLogger(
    _logger,
    "The cache can't be notified of a change. Other processes may use the old state for a while.",
)

# In seconds. Transactions that change keys must take less than MARGIN, by which a mark outlives an
# entry. A slow call may have been retried on another server. Clocks of machines differ.
MARGIN, OUT_OF_TOUCH, SLOW, CLOCK_SKEW = 120, 10, 1, 10
# How many entries a process remembers. It only needs their words from the cache.
MEMORY_SIZE = 1_000

_CHANGED = "changed"


class Slot(NamedTuple):
    """Where a key is cached, or may be cached.

    Attributes:
        label: the model with the column ``api_key``, as ``app.model``.
        origin: the database and the statement that the columns must come from.
        factory: returns a function that creates instances from columns.
        read_at: when the slot was free, in seconds since 1970.
    """

    cache: str
    label: str
    api_key: str
    origin: str
    factory: Callable[[Columns], Callable[[], AbstractApiKey]]
    read_at: float = 0

    @property
    def name(self) -> str:
        return f"ft:{self.label}:{self.api_key}"


class CacheEntry(NamedTuple):
    """A cached key. ``make`` creates an instance from ``columns``, which must not be changed."""

    slot: Slot
    word: str
    ends_at: float
    columns: Columns
    make: Callable[[], AbstractApiKey]


_memory: dict[tuple[str, str], CacheEntry] = {}
# By cache: since when this process is in touch (s since 1970), and its last answer (monotonic).
_in_touch: dict[str, float] = {}
_heard_at: dict[str, float] = {}
# By cache: the barriers that couldn't be set.
_owed: dict[str, set[str]] = {}


def reset() -> None:
    """Forget everything, like a new process. For tests."""
    for known in (_memory, _in_touch, _heard_at, _owed):
        known.clear()


def look(slot: Slot) -> tuple[CacheEntry | None, Slot | None]:
    """Find a key in the cache. Never raises an exception.

    Returns:
        The entry, if any, and the slot to cache the key in, if it may be cached.
    """
    alias, name, barrier = slot.cache, slot.name, f"ft:{slot.label}"
    entry = _memory.get((alias, name))
    try:
        if alias in _owed:
            _mark(alias, _owed.pop(alias))
        cache, called_at = caches[alias], time.monotonic()
        names = (name, barrier) if entry else (name, barrier, f"{name}:entry")
        answer = cache.get_many(names)
        now = time.time()
        in_touch_since = 0.0 if is_in_memory(cache) else _heard(alias, called_at, now)
        word = answer.get(name)
        if word is None and barrier not in answer:
            return None, slot._replace(read_at=now)
        if word == _CHANGED or barrier in answer:
            return None, None
        if entry is None or entry.word != word or entry.slot.origin != slot.origin:
            stored = cache.get(f"{name}:entry") if entry else answer.get(f"{name}:entry")
            if type(stored) not in (tuple, type(None)):
                raise TypeError("The cache's serializer must preserve tuples.")
            # Another word means an older entry, another origin another version of the app.
            if stored is None or stored[:2] != (word, slot.origin):
                return None, None
            _word, _origin, read_at, ends_at, columns = stored
            entry = remember(slot._replace(read_at=read_at), str(word), ends_at, columns)
    except Exception:
        _lost_touch(alias)
        return None, None
    trusted = in_touch_since <= entry.slot.read_at <= now + CLOCK_SKEW
    return (entry if trusted and now < entry.ends_at else None), None


def put(slot: Slot, columns: Columns, due_at: float) -> None:
    """Cache a verified key until its next use is ``due_at`` (s since 1970). Never raises."""
    ends_at = min(slot.read_at + conf.CACHE_TIMEOUT.total_seconds(), due_at)
    seconds = math.ceil(ends_at - time.time())  # some caches take only whole ones
    if seconds <= 0:
        return
    word = secrets.token_hex(8)
    try:
        cache = caches[slot.cache]
        if cache.add(slot.name, word, seconds):
            entry = (word, slot.origin, slot.read_at, ends_at, columns)
            cache.set(f"{slot.name}:entry", entry, seconds)
    except Exception:
        _lost_touch(slot.cache)


def remember(slot: Slot, word: str, ends_at: float, columns: Columns) -> CacheEntry:
    """Keep an entry in this process, and return it."""
    if len(_memory) >= MEMORY_SIZE:
        _memory.clear()
    entry = CacheEntry(slot, word, ends_at, columns, slot.factory(columns))
    _memory[slot.cache, slot.name] = entry
    return entry


def invalidate(label: str, api_keys: Iterable[str] | None, using: str) -> None:
    """End the entries of ``api_keys`` (None: all), now and at the commit. Never raises."""
    alias, barrier = conf.CACHE, f"ft:{label}"
    names = {barrier} if api_keys is None else {f"{barrier}:{api_key}" for api_key in api_keys}
    if alias is None or not names:
        return
    _mark(alias, names)
    if transaction.get_connection(using).in_atomic_block:
        transaction.on_commit(lambda: _mark(alias, names), using=using)


def _mark(alias: str, names: set[str]) -> None:
    seconds = conf.CACHE_TIMEOUT.total_seconds() + MARGIN
    try:
        # Memcached returns the names that it didn't store.
        lost = bool(caches[alias].set_many(dict.fromkeys(names, _CHANGED), seconds))
    except Exception:
        lost = True
    if not lost:
        return
    # Until the barrier is set, this process doesn't trust older entries either.
    _in_touch.pop(alias, None)
    barriers = {":".join(name.split(":")[:2]) for name in names}
    _owed.setdefault(alias, set()).update(barriers)
    _log_lost_mark()


def _lost_touch(alias: str) -> None:
    _in_touch.pop(alias, None)
    _log_cache_error()


def _heard(alias: str, called_at: float, now: float) -> float:
    """Record that the cache answered. Return since when this process is in touch with it."""
    heard_at, _heard_at[alias] = _heard_at.get(alias, called_at), time.monotonic()
    since = _in_touch.setdefault(alias, now)
    silent = called_at - heard_at > OUT_OF_TOUCH or _heard_at[alias] - called_at > SLOW
    if silent or since > now:  # the clock was set back
        since = _in_touch[alias] = now
    return since
