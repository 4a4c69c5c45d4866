"""docs/openapi.md, followed in a project of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "openapi.md").read_text()

SETTINGS = """
SECRET_KEY = "only for this test"
INSTALLED_APPS = [
    "django.contrib.auth", "django.contrib.contenttypes", "rest_framework", "frappe_tokens"
]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "frappe_tokens.authentication.TokenAuthentication",
        "frappe_tokens.authentication.BasicAuthentication",
        "frappe_tokens.authentication.BearerAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}
ROOT_URLCONF = "urls"
"""
URLS = """
from django.urls import include, path

urlpatterns = [path("api/", include("frappe_tokens.urls"))]
"""


def test_schema_is_the_one_on_the_page(tmp_path):
    python = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    settings, urls, view = python
    (shown,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "settings.py").write_text(SETTINGS + settings)
    (tmp_path / "urls.py").write_text(URLS + urls + view)

    done = subprocess.run(
        [sys.executable, "-m", "django", "spectacular", "--validate", "--fail-on-warn"],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "settings",
            "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    schema = yaml.safe_load(done.stdout)
    assert schema["paths"]["/api/report/"] == yaml.safe_load(shown)
    assert set(schema["components"]["securitySchemes"]) >= {
        "apiKeyToken",
        "apiKeyBasic",
        "apiKeyBearer",
    }
    assert {"/api/schema/", "/api/keys/"} <= set(schema["paths"])
