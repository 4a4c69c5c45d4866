"""The core runs without Django REST framework, and its base model without the installed app."""

import subprocess
import sys
from pathlib import Path

from django.apps import apps
from drf_spectacular.settings import spectacular_settings

from frappe_tokens.verification import access_tokens

ROOT = Path(__file__).resolve().parent.parent

SETUP = """
import sys
for name in {forbidden!r}:
    sys.modules[name] = None
from django.conf import settings
settings.configure(
    INSTALLED_APPS={apps!r},
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
    USE_TZ=True,
)
import django
django.setup()
"""

USE = """
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import RequestFactory
call_command("migrate", verbosity=0)
from frappe_tokens import credentials, keys, lookup, models, verification
generated = keys.generate_keys(get_user_model().objects.create_user("ada"))
credential = credentials.parse(f"token {generated.token}", "token")
request = RequestFactory().get("/")
key = verification.verify(credential, verification.RequestInfo(request))
assert key.user.username == "ada"
assert keys.revoke(key)
"""

DEFINE = """
from frappe_tokens.base_models import AbstractApiKey
class Key(AbstractApiKey):
    class Meta(AbstractApiKey.Meta):
        app_label = "auth"
assert Key._meta.get_field("user").related_model._meta.label == "auth.User"
assert {constraint.name for constraint in Key._meta.constraints} == {
    "auth_key_has_api_key", "auth_key_grace_ends"
}
"""


def test_nothing_is_registered_for_missing_packages(monkeypatch):
    monkeypatch.setattr(access_tokens, "_finder", None)
    monkeypatch.setattr(apps, "is_installed", lambda name: False)
    before = list(spectacular_settings.POSTPROCESSING_HOOKS)
    monkeypatch.setattr(spectacular_settings, "POSTPROCESSING_HOOKS", [])
    apps.get_app_config("frappe_tokens").ready()
    assert not access_tokens.are_known()
    assert spectacular_settings.POSTPROCESSING_HOOKS == []
    monkeypatch.undo()
    assert before == spectacular_settings.POSTPROCESSING_HOOKS


def run(code, apps, forbidden):
    script = SETUP.format(apps=apps, forbidden=forbidden) + code
    script += "\nassert all(sys.modules[name] is None for name in " + repr(forbidden) + ")"
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr


def test_core_needs_no_rest_framework():
    django_apps = ["django.contrib.auth", "django.contrib.contenttypes", "frappe_tokens"]
    run(USE, django_apps, ["rest_framework", "oauth2_provider", "drf_spectacular"])


def test_base_model_needs_no_installed_app():
    run(DEFINE, ["django.contrib.auth", "django.contrib.contenttypes"], ["rest_framework"])
