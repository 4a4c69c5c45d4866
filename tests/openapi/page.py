"""The page about OpenAPI, followed in a project of its own."""

import os
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "how-to" / "describe-in-openapi.md").read_text()

SETTINGS = """
DEBUG = True
SECRET_KEY = "only for this test"
INSTALLED_APPS = [
    "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.staticfiles",
    "rest_framework", "frappe_tokens",
]
# Its policy is stricter than what the pages need.
MIDDLEWARE = ["tests.csp.content_security_policy"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
STATIC_URL = "static/"
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


def blocks(language):
    """The examples of the page."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def make_project(folder, more_settings=""):
    """Write the project, and return the environment in which Python finds it."""
    settings, urls, view, _, ui_settings, ui_urls = blocks("python")
    (folder / "settings.py").write_text(SETTINGS + settings + ui_settings + more_settings)
    (folder / "urls.py").write_text(URLS + urls + view + ui_urls)
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "settings",
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
    }
