"""Django's own caches, which stop a thread of a race before each call."""

from __future__ import annotations

from typing import Any

from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache

from .scheduler import stop


class _Stopping:
    def get(self, key: Any, *args: Any, **options: Any) -> Any:
        stop("cache get")
        return super().get(key, *args, **options)  # type: ignore[misc]

    def get_many(self, *args: Any, **options: Any) -> Any:
        stop("cache get_many")
        return super().get_many(*args, **options)  # type: ignore[misc]

    def add(self, *args: Any, **options: Any) -> Any:
        stop("cache add")
        return super().add(*args, **options)  # type: ignore[misc]

    def set(self, *args: Any, **options: Any) -> Any:
        stop("cache set")
        return super().set(*args, **options)  # type: ignore[misc]

    def set_many(self, *args: Any, **options: Any) -> Any:
        stop("cache set_many")
        return super().set_many(*args, **options)  # type: ignore[misc]


class StoppingLocMemCache(_Stopping, LocMemCache):
    """Calls itself for many keys, and so stops between two of them, where others may come."""


class StoppingRedisCache(_Stopping, RedisCache):
    """Does many keys in one command."""
