"""Groups of tests that need more than Python: left out where it is missing, and never silently."""

import os

import pytest

LEFT_OUT = {}


def leave_out(group, why, *, in_ci_too=False):
    """Skip the present test because of what its ``group`` needs; under ``CI=true`` fail it.

    Args:
        group: what the summary calls it.
        why: what it needs.
        in_ci_too: another of CI's runs has what it needs.
    """
    if os.environ.get("CI") == "true" and not in_ci_too:
        pytest.fail(f"{group}: {why}", pytrace=False)
    LEFT_OUT[group] = why
    pytest.skip(f"{group}: {why}")
