from __future__ import annotations

from typing import Any

import pytest

MIDDLEWARE = "frappe_tokens.middleware.TokenAuthenticationMiddleware"


@pytest.fixture
def with_middleware(settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, MIDDLEWARE]
