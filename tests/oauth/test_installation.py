"""Without the extra nothing asks for it; with models of one's own it works as well."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

SCRIPT = """
import sys
for name in ("oauth2_provider", "oauthlib", "drf_spectacular"):
    sys.modules[name] = None
from django.conf import settings
settings.configure(
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes", "rest_framework", "frappe_tokens",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    USE_TZ=True,
    ROOT_URLCONF="frappe_tokens.urls",
    SECRET_KEY="made up",
    ALLOWED_HOSTS=["testserver"],
    REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": [
        "frappe_tokens.authentication.BearerAuthentication",
    ]},
)
import django
django.setup()
from django.contrib.auth import get_user_model
from django.core import checks
from django.core.management import call_command
from django.test import Client
call_command("migrate", verbosity=0)
from frappe_tokens.keys import generate_keys
generated = generate_keys(get_user_model().objects.create_user("ada"))
me = "/method/frappe.auth.get_logged_user"
def ask(credential):
    return Client().get(me, headers={"Authorization": f"Bearer {credential}"})
assert ask(generated.token).json() == {"message": "ada"}
refused = ask("an-opaque-token")
assert (refused.status_code, refused.json()["code"]) == (401, "malformed_credentials")
found = checks.run_checks(tags=["frappe_tokens"], include_deployment_checks=True)
(info,) = [message for message in found if message.id == "frappe_tokens.I001"]
assert "frappe-tokens[oauth]" in info.hint
assert not [message for message in checks.run_checks() if message.level >= checks.ERROR]
from frappe_tokens.contrib import oauth2
assert sys.modules["oauth2_provider"] is None
"""


def test_opaque_token_is_401_and_the_check_names_the_extra():
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr


MODELS = """
from django.db import models
from oauth2_provider.models import (
    AbstractAccessToken, AbstractApplication, AbstractIDToken, AbstractRefreshToken,
)
class Application(AbstractApplication):
    switched_off = models.BooleanField(default=False)
    def is_usable(self, request):
        return not self.switched_off
class AccessToken(AbstractAccessToken):
    pass
class RefreshToken(AbstractRefreshToken):
    pass
class IDToken(AbstractIDToken):
    pass
"""

SWAPPED = """
from django.conf import settings
settings.configure(
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes", "rest_framework", "frappe_tokens",
        "oauth2_provider", "swapped",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    USE_TZ=True,
    ROOT_URLCONF="frappe_tokens.contrib.oauth2.urls",
    SECRET_KEY="made up",
    ALLOWED_HOSTS=["testserver"],
    OAUTH2_PROVIDER_APPLICATION_MODEL="swapped.Application",
    OAUTH2_PROVIDER_ACCESS_TOKEN_MODEL="swapped.AccessToken",
    OAUTH2_PROVIDER_REFRESH_TOKEN_MODEL="swapped.RefreshToken",
    OAUTH2_PROVIDER_ID_TOKEN_MODEL="swapped.IDToken",
    OAUTH2_PROVIDER={"SCOPES": {"openid": "who"}},
)
import django
django.setup()
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
call_command("migrate", verbosity=0, run_syncdb=True)
from swapped.models import AccessToken, Application
owner = get_user_model().objects.create_user("ada")
client = Application.objects.create(
    client_type="confidential", authorization_grant_type="client-credentials",
    client_secret="made up", user=owner,
)
from frappe_tokens.contrib.oauth2 import allow_application
allow_application(client)
oauth2 = "/method/frappe.integrations.oauth2."
sent = {"client_id": client.client_id, "client_secret": "made up"}
token = Client().post(
    oauth2 + "get_token", {**sent, "grant_type": "client_credentials"}
).json()["access_token"]
assert AccessToken.objects.get().application == client
header = {"Authorization": f"Bearer {token}"}
profile = Client().get(oauth2 + "openid_profile", headers=header)
assert profile.json()["name"] == "ada", profile.content
told = Client().post(oauth2 + "introspect_token", {**sent, "token": token}).json()
assert told["active"] is True
Application.objects.update(switched_off=True)
assert Client().get(oauth2 + "openid_profile", headers=header).json()["code"] == "key_revoked"
assert Client().post(oauth2 + "revoke_token", {"token": token}).json() == {}
assert not AccessToken.objects.exists()
"""


def test_swapped_models_work(tmp_path):
    (tmp_path / "swapped").mkdir()
    (tmp_path / "swapped/__init__.py").touch()
    (tmp_path / "swapped/models.py").write_text(MODELS)
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", SWAPPED],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
