"""What may wait, and so must not run in an event loop. Whatever is unknown may."""

from __future__ import annotations

from django.core.cache import BaseCache
from django.core.cache.backends.base import default_key_func
from django.core.cache.backends.locmem import LocMemCache


class MustWait(Exception):
    """The next step may wait. Raised instead of that step, where waiting isn't allowed."""


def is_in_memory(cache: BaseCache) -> bool:
    """Whether ``cache`` answers from this process's memory."""
    # A subclass may do more.
    return type(cache) is LocMemCache and has_fixed_names(cache)


def has_fixed_names(cache: BaseCache) -> bool:
    """Whether ``cache`` makes its names without asking the project.

    A ``KEY_FUNCTION`` that tells tenants apart may read the connection of the request's thread.
    """
    return cache.key_func is default_key_func and type(cache).make_key is BaseCache.make_key
