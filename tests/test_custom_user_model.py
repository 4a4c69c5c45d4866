"""Django knows one user model a process, so another one's tests run in another process."""

import subprocess
import sys

import coverage
import pytest


@pytest.mark.process
def test_works_with_a_user_model_without_username():
    # What is measured there is added to what is measured here when this run ends.
    measured = ["coverage", "run", "--parallel-mode", "--rcfile=setup.cfg", "-m"]
    command = [
        sys.executable,
        "-m",
        *(measured if coverage.Coverage.current() is not None else []),
        "pytest",
        "tests/custom_user/cases",
        "--ds=tests.custom_user.settings",
        "-q",
    ]
    finished = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=300, env=None
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert " passed" in finished.stdout
