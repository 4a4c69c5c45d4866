"""Caches that fail, and one that is shared."""

import json

from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache


class DeadCache(BaseCache):
    """One whose server does not answer."""

    def __init__(self, location, params):
        super().__init__(params)

    def _refuse(self, *args, **kwargs):
        raise ConnectionRefusedError("no cache is listening")

    add = get = get_many = set = set_many = delete = delete_many = touch = _refuse

    def clear(self):
        pass


class FullCache(LocMemCache):
    """One that keeps nothing: what it takes in it drops at once."""

    def set(self, *args, **kwargs):
        pass

    def add(self, *args, **kwargs):
        return False


class WatchedCache(LocMemCache):
    """One that remembers for how long to keep what was added."""

    def __init__(self, *args):
        super().__init__(*args)
        self.timeouts = []

    def add(self, key, value, timeout, *args):
        self.timeouts.append(timeout)
        return super().add(key, value, timeout, *args)


class JSONCache(LocMemCache):
    """One that makes lists of tuples and texts of dates, as JSON does."""

    def set(self, key, value, *args, **kwargs):
        super().set(key, json.loads(json.dumps(value, default=str)), *args, **kwargs)


class SwitchableCache(LocMemCache):
    """One that can be away, slow, or full, and can come back with older data."""

    away = False
    seconds = 0.0
    takes_marks = True
    # How many names each round trip asks for.
    asked = ()

    def _answer(self):
        if self.away:
            raise ConnectionError("the cache is away")
        SwitchableCache.now += self.seconds

    # A monotonic clock for the tests, which a slow answer moves on.
    now = 1000.0

    def get(self, *args, **kwargs):
        self._answer()
        self.asked = (*self.asked, 1)
        return super().get(*args, **kwargs)

    def get_many(self, keys, version=None):
        self._answer()
        self.asked = (*self.asked, len(keys))
        return {key: value for key in keys if (value := super(SwitchableCache, self).get(key))}

    def add(self, *args, **kwargs):
        self._answer()
        return super().add(*args, **kwargs)

    def set(self, *args, **kwargs):
        self._answer()
        super().set(*args, **kwargs)

    def set_many(self, data, *args, **kwargs):
        if not self.takes_marks:
            return list(data)
        return super().set_many(data, *args, **kwargs)

    def saved(self):
        """All that is in it, for :meth:`restore`."""
        return dict(self._cache), dict(self._expire_info)

    def restore(self, saved):
        """What a snapshot or a replica that lags behind brings back."""
        for present, older in zip((self._cache, self._expire_info), saved, strict=True):
            present.clear()
            present.update(older)


class SharedRedisCache(RedisCache):
    """Redis that other test processes use as well: cleared of its own keys, and not of theirs."""

    def clear(self):
        client = self._cache.get_client(write=True)
        for key in client.scan_iter(match=f"{self.key_prefix}:*", count=1000):
            client.delete(key)
        return True


def tenants_name(key, prefix, version):
    """A ``KEY_FUNCTION`` of a project, which may ask the database."""
    return f"tenant:{key}"
