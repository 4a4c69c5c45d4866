"""Themes of the admin replace its templates, so each needs a process with settings of its own."""

import subprocess
import sys

import pytest


@pytest.mark.browser
@pytest.mark.node
@pytest.mark.process
@pytest.mark.parametrize("theme", ["unfold", "jazzmin"])
def test_pages_are_whole_in_a_theme(chromium, theme):
    command = [
        *(sys.executable, "-m", "pytest", "tests/themes/cases", "-q", "-m", "browser"),
        f"--ds=tests.themes.{theme}_settings",
    ]
    finished = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert " passed" in finished.stdout
