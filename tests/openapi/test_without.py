"""Without drf-spectacular the app is what it was."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

SCRIPT = """
import sys
if {absent}:
    sys.modules["drf_spectacular"] = None
from django.conf import settings
settings.configure(
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes", "rest_framework", "frappe_tokens"
    ],
    ROOT_URLCONF="frappe_tokens.urls",
)
import django
django.setup()
from django.core.management import call_command
call_command("check")
from django.urls import reverse
assert reverse("keys") == "/keys"
assert "frappe_tokens.contrib.spectacular" not in sys.modules
"""


@pytest.mark.parametrize("absent", [True, False])
def test_app_runs_where_it_is_not_installed(absent):
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT.format(absent=absent)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
