"""Keys in Django's cache: entries that end for all processes at once.

An entry is kept under its API key. Beside the entries there are *stamps*, random words: one for
each shard, which an API key's checksum assigns it to. An entry names the stamp that its reader saw
**before** it asked the database, and counts only as long as that stamp is there. Whoever changes a
row removes its stamp after the commit. So a reader that read the old row and is slow to put it into
the cache puts in an entry that never counts: its stamp is gone, and no new one is ever the same.

From the change until the commit the stamp is *closed*: nobody uses or makes entries. Should the
process die right after its commit, or another hook keep ours from running, the old row is not used
then either. A stamp is open again when all who closed it have committed. What is left closed, by a
transaction that was rolled back for one, opens by itself after ``CLOSED_SECONDS``.

A process remembers the entries that it has met, and then asks for the stamp alone.

Stamps are made for shards and not for keys, so that whoever asks for keys that do not exist can
make no more than ``SHARDS`` of them. Entries are made of verified keys alone.
"""

from __future__ import annotations

import logging
import secrets
import time
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from django.core.cache import BaseCache, caches
from django.db import transaction

from . import key_memory
from .complaints import Complaint
from .conf import conf
from .key_memory import Entry, Place

_complain = Complaint(
    logging.getLogger(__name__), "The cache does not answer. Keys are read from the database."
)

# A change to one key ends the entries of its shard, so there are many. They stay few enough to be
# ended all at once.
SHARDS = 256
STAMP_SECONDS = 86_400

# Longer than transactions that change keys take. Until then the database is asked.
CLOSED_SECONDS = 600

_CLOSED = "closed:"


def look(
    alias: str,
    label: str,
    fingerprint: str,
    api_key: str,
    maker: Callable[[list[Any]], Callable[[], Any]],
) -> tuple[Entry | None, Place | None]:
    """What is kept of a key, and the place for it. Never raises.

    Args:
        alias: which of Django's caches.
        label: the model that the column ``api_key`` belongs to, as ``app.model``.
        fingerprint: of the columns that an entry holds.
        api_key: the presented key.
        maker: gives the ``make`` of an :class:`Entry` with these values.

    Returns:
        The entry, or None; for the place None where the cache does not answer.
    """
    entry_name = f"frappe_tokens:{fingerprint}:{api_key}"
    stamp_name = _stamp_name(label, _shard(api_key))
    try:
        cache = caches[alias]
        remembered = key_memory.recall(alias, entry_name)
        if remembered is not None:
            if time.time() < remembered.until and cache.get(stamp_name) == remembered.place.stamp:
                return remembered, remembered.place
            key_memory.forget(alias, entry_name)
        answer = cache.get_many((entry_name, stamp_name))
        now = time.time()
        stamp = answer.get(stamp_name) or _new_stamp(cache, stamp_name)
        stored = answer.get(entry_name)
        if stored is not None and stamp is not None:
            if type(stored) is not tuple:
                raise TypeError("The cache's serializer must give back what it was given.")
            made_with, ends_at, due_at, kept = stored
            if made_with == stamp and now < ends_at:
                place = Place(alias, entry_name, stamp, ends_at)
                # Another process may then have written down that the key was used.
                entry = Entry(place, min(ends_at, due_at), kept, maker(kept))
                key_memory.remember(entry)
                return entry, place
        if stamp is not None and stamp.startswith(_CLOSED):
            stamp = None
    except Exception:
        _complain()
        return None, None
    return None, Place(alias, entry_name, stamp, now + conf.CACHE_TIMEOUT.total_seconds())


def put(place: Place, kept: list[Any], due_at: float) -> None:
    """Keep ``kept`` at ``place``. Never raises.

    Args:
        place: what :func:`look` gave, before the database was asked.
        kept: plain values, less everything that is secret.
        due_at: when the next use of the key is to be written down, in seconds since 1970.
    """
    seconds = place.ends_at - time.time()
    if place.stamp is None or seconds <= 0:
        return
    entry = (place.stamp, place.ends_at, due_at, kept)
    key_memory.forget(place.cache, place.entry)
    _tell(lambda: caches[place.cache].set(place.entry, entry, seconds))


def end(label: str, api_keys: Iterable[str], using: str) -> None:
    """End the entries of ``api_keys``: at the commit, and unused until then. Never raises.

    Args:
        label: as for :func:`look`.
        api_keys: whose rows, or whose users' rows, were changed just now.
        using: the alias of the database where they were.
    """
    _end({_stamp_name(label, _shard(api_key)) for api_key in api_keys}, using)


def end_all(label: str, using: str) -> None:
    """The same for all keys of a model, where nobody knows which ones were changed."""
    _end({_stamp_name(label, shard) for shard in range(SHARDS)}, using)


def _end(stamps: set[str], using: str) -> None:
    alias = conf.CACHE
    if alias is None or not stamps:
        return
    connection = transaction.get_connection(using)
    at_once = connection.get_autocommit()
    writer = secrets.token_hex(8)
    if not at_once:
        _tell(lambda: _close(caches[alias], stamps, writer))
    if at_once or connection.in_atomic_block:
        # In a transaction that is run by hand nobody tells of its commit: the stamps stay closed.
        transaction.on_commit(
            lambda: _tell(lambda: _open(caches[alias], stamps, writer)), using=using, robust=True
        )


def _close(cache: BaseCache, stamps: set[str], writer: str) -> None:
    present = cache.get_many(stamps)
    closed = {name: f"{_CLOSED}{writer} {' '.join(_writers(present.get(name)))}" for name in stamps}
    cache.set_many(closed, CLOSED_SECONDS)


def _open(cache: BaseCache, stamps: set[str], writer: str) -> None:
    """Remove ``stamps``, but for those that other writers keep closed."""
    present = cache.get_many(stamps)
    others = {name: _writers(stamp) - {writer} for name, stamp in present.items()}
    closed = {name: f"{_CLOSED}{' '.join(writers)}" for name, writers in others.items() if writers}
    if closed:
        cache.set_many(closed, CLOSED_SECONDS)
    cache.delete_many(stamps - closed.keys())


def _writers(stamp: str | None) -> set[str]:
    """Those who keep a stamp closed."""
    if stamp is None or not stamp.startswith(_CLOSED):
        return set()
    return set(stamp.removeprefix(_CLOSED).split())


def _shard(api_key: str) -> int:
    return zlib.crc32(api_key.encode()) % SHARDS


def _stamp_name(label: str, shard: int) -> str:
    return f"frappe_tokens:{label}:{shard}"


def _new_stamp(cache: BaseCache, name: str) -> str | None:
    stamp = secrets.token_hex(8)
    if cache.add(name, stamp, STAMP_SECONDS):
        return stamp
    # Another process was faster, or is at work on a change.
    other: str | None = cache.get(name)
    return other


def _tell(write: Callable[[], object]) -> None:
    try:
        write()
    except Exception:
        _complain()
