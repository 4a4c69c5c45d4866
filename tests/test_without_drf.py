"""What runs in a process of its own: the core without Django REST framework, and checks."""

import os
import re
import subprocess
import sys
from pathlib import Path

from django.apps import apps
from drf_spectacular.settings import spectacular_settings

from frappe_tokens.verification import access_tokens

ROOT = Path(__file__).resolve().parent.parent

APPS = ["django.contrib.auth", "django.contrib.contenttypes", "frappe_tokens"]

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


BEFORE_APPS = """
from django.conf import settings
settings.configure()
import frappe_tokens.audit
"""

CHECK = """
from django.core.management import call_command
call_command("check", databases=["default"], fail_level="DEBUG")
call_command("check", deploy=True, tags=["frappe_tokens"], fail_level="ERROR")
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


def finish(*arguments, **environment):
    """Run Python without warnings. Return all that it writes."""
    # The last one remains from tests with a browser.
    without = {"DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "DJANGO_ALLOW_ASYNC_UNSAFE"}
    inherited = {name: value for name, value in os.environ.items() if name not in without}
    finished = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**inherited, **environment},
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    output = finished.stdout + finished.stderr
    assert "Traceback" not in output
    return output


def run(code, apps, forbidden):
    script = SETUP.format(apps=apps, forbidden=forbidden) + code
    script += "\nassert all(sys.modules[name] is None for name in " + repr(forbidden) + ")"
    return finish("-c", script)


def test_core_needs_no_rest_framework():
    run(USE, APPS, ["rest_framework", "oauth2_provider", "drf_spectacular"])


def test_settings_may_import_a_formatter_that_imports_the_audit_log():
    finish("-c", BEFORE_APPS)


def test_base_model_needs_no_installed_app():
    run(DEFINE, APPS[:-1], ["rest_framework"])


def reported(output):
    """The ids of checks."""
    return set(re.findall(r"\(([a-z_]+\.[A-Z]\d{3})\)", output))


def test_checks_need_no_rest_framework_and_no_tables():
    names = {f"frappe_tokens.{name}" for name in ("W003", "W005", "W007")}
    assert reported(run(CHECK, APPS, ["rest_framework"])) == names


def test_example_project_needs_only_a_shared_cache_for_deployment():
    key = "as long as Django wants it, and with enough different characters 0123456789"
    command = ("manage.py", "check", "--deploy", "--fail-level", "ERROR")
    names = reported(finish(*command, DJANGO_DEBUG="0", DJANGO_SECRET_KEY=key))
    # I001 depends on what else is installed.
    assert names - {"frappe_tokens.I001"} == {"frappe_tokens.W003"}
