"""Fixtures for pytest: ``pytest_plugins = ["frappe_tokens.test.fixtures"]`` in ``conftest.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ..keys import GeneratedKeys
from ..types import User
from . import ApiKeyClient, make_key

__all__ = ["api_key_client", "make_api_key"]


@pytest.fixture
def make_api_key(db: None) -> Callable[..., GeneratedKeys]:
    """Makes keys, as :func:`frappe_tokens.test.make_key` does."""
    return make_key


@pytest.fixture
def api_key_client(db: None) -> Callable[..., ApiKeyClient]:
    """Makes test clients: ``api_key_client(user, read_only=True)`` sends a new key of ``user``."""

    def make(user: User, **options: Any) -> ApiKeyClient:
        client = ApiKeyClient()
        client.use_key(make_key(user, **options))
        return client

    return make
