"""Groups of tests that need more than Python: left out where it is missing, and never silently."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

LEFT_OUT: dict[str, str] = {}


def leave_out(group: str, why: str) -> NoReturn:
    """Skip the present test because of what its ``group`` needs; under ``CI=true`` fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{group}: {why}", pytrace=False)
    LEFT_OUT[group] = why
    pytest.skip(f"{group}: {why}")
