"""What a process remembers of the cache's entries, to ask it for less.

An entry that came from the cache is remembered with its stamp. Next time the cache is asked for the
stamp alone, which still decides whether the entry counts: what ends an entry in the cache ends it
here at the same moment, in all processes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

# The keys that are in use at one time, for most installations; some megabytes at the most.
SIZE = 1_000


class Place(NamedTuple):
    """Where a key's entry is, and what it needs to count.

    Attributes:
        cache: the alias of Django's cache.
        entry: the entry's name there.
        stamp: that of its shard, before the database was asked; None where no entry can be made.
        ends_at: ``CACHE_TIMEOUT`` after that, in seconds since 1970: the end of what is read then.
    """

    cache: str
    entry: str
    stamp: str | None
    ends_at: float


class Entry(NamedTuple):
    """An entry of the cache.

    Attributes:
        place: where it is.
        until: when the cache has to be asked for it again, in seconds since 1970.
        kept: its values. Nobody changes them.
        make: makes of them what is asked for, anew for each request.
    """

    place: Place
    until: float
    kept: list[Any]
    make: Callable[[], Any]


_entries: dict[tuple[str, str], Entry] = {}
_lock = threading.Lock()


def recall(cache: str, name: str) -> Entry | None:
    """What is remembered of the entry ``name`` in ``cache``."""
    return _entries.get((cache, name))


def remember(entry: Entry) -> None:
    """Keep an entry that came from the cache, in place of the oldest if there are ``SIZE``."""
    which = (entry.place.cache, entry.place.entry)
    with _lock:
        _entries.pop(which, None)
        if len(_entries) >= SIZE:
            del _entries[next(iter(_entries))]
        _entries[which] = entry


def forget(cache: str, name: str) -> None:
    """The cache has, or is about to have, another entry of this name."""
    with _lock:
        _entries.pop((cache, name), None)
