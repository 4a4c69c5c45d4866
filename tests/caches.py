"""Caches that fail, and one that is shared."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache


class DeadCache(BaseCache):
    """One whose server does not answer."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ConnectionRefusedError("no cache is listening")

    add = get = get_many = set = set_many = delete = delete_many = touch = _refuse

    def clear(self) -> None:
        pass


class FullCache(LocMemCache):
    """One that keeps nothing: what it takes in it drops at once."""

    def set(self, *args: Any, **kwargs: Any) -> None:
        pass

    def add(self, *args: Any, **kwargs: Any) -> bool:
        return False


class JSONCache(LocMemCache):
    """One that makes lists of tuples and texts of dates, as JSON does."""

    def set(self, key: str, value: Any, *args: Any, **kwargs: Any) -> None:
        super().set(key, json.loads(json.dumps(value, default=str)), *args, **kwargs)


class SwitchableCache(LocMemCache):
    """One that can be away, slow, or full, and can come back with older data."""

    away = False
    seconds = 0.0
    takes_marks = True

    def _answer(self) -> None:
        if self.away:
            raise ConnectionError("the cache is away")
        SwitchableCache.now += self.seconds

    # A monotonic clock for the tests, which a slow answer moves on.
    now = 1000.0

    def get(self, *args: Any, **kwargs: Any) -> Any:
        self._answer()
        return super().get(*args, **kwargs)

    def get_many(self, keys: Any, version: Any = None) -> Any:
        self._answer()
        return {key: value for key in keys if (value := super(SwitchableCache, self).get(key))}

    def add(self, *args: Any, **kwargs: Any) -> Any:
        self._answer()
        return super().add(*args, **kwargs)

    def set(self, *args: Any, **kwargs: Any) -> None:
        self._answer()
        super().set(*args, **kwargs)

    def set_many(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.takes_marks:
            return list(data)
        return super().set_many(data, *args, **kwargs)

    def saved(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """All that is in it, for :meth:`restore`."""
        return dict(self._cache), dict(self._expire_info)  # type: ignore[attr-defined]

    def restore(self, saved: tuple[dict[str, Any], dict[str, Any]]) -> None:
        """What a snapshot or a replica that lags behind brings back."""
        for present, older in zip((self._cache, self._expire_info), saved, strict=True):  # type: ignore[attr-defined]
            present.clear()
            present.update(older)


class SharedRedisCache(RedisCache):
    """Redis that other test processes use as well: cleared of its own keys, and not of theirs."""

    def clear(self) -> bool:
        client = self._cache.get_client(write=True)
        for key in client.scan_iter(match=f"{self.key_prefix}:*", count=1000):
            client.delete(key)
        return True
