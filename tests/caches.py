"""Caches that fail."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache


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
