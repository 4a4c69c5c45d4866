"""Counting in Django's cache, for all processes together."""

from __future__ import annotations

from django.core.cache import BaseCache


def add(cache: BaseCache, name: str, number: int, seconds: int) -> int:
    """Add ``number`` to a count, which a positive one begins.

    Args:
        cache: where the count is kept.
        name: of the count.
        number: to be added; negative to take away.
        seconds: how long the count is kept at least.

    Returns:
        What the count is now; ``number`` where there is none, as it ended or was evicted.

    Raises:
        Exception: the cache's own, where it does not answer.
    """
    try:
        if number > 0 and cache.add(name, number, seconds):
            return number
        counted = int(cache.incr(name, number))
    except ValueError:
        return number
    if type(cache).incr is BaseCache.incr:
        # A cache without an atomic step: it writes the number back with its default timeout.
        cache.touch(name, seconds)
    return counted
