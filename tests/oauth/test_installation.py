"""It isn't needed without the extra, and works with a project's own models."""

import os

import pytest

from ..test_without_drf import ROOT, finish

SETUP = """
import sys
import django
from django.conf import settings
def set_up(*apps, **options):
    settings.configure(
        INSTALLED_APPS=[
            "django.contrib.auth", "django.contrib.contenttypes", "rest_framework", *apps,
        ],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        USE_TZ=True,
        SECRET_KEY="made up",
        ALLOWED_HOSTS=["testserver"],
        **options,
    )
    django.setup()
"""

WITHOUT = """
for name in ("oauth2_provider", "oauthlib", "drf_spectacular"):
    sys.modules[name] = None
bearer = "frappe_tokens.authentication.BearerAuthentication"
set_up(
    "frappe_tokens",
    ROOT_URLCONF="frappe_tokens.urls",
    REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": [bearer]},
)
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
set_up(
    "frappe_tokens",
    "oauth2_provider",
    "swapped",
    ROOT_URLCONF="frappe_tokens.contrib.oauth2.urls",
    OAUTH2_PROVIDER_APPLICATION_MODEL="swapped.Application",
    OAUTH2_PROVIDER_ACCESS_TOKEN_MODEL="swapped.AccessToken",
    OAUTH2_PROVIDER_REFRESH_TOKEN_MODEL="swapped.RefreshToken",
    OAUTH2_PROVIDER_ID_TOKEN_MODEL="swapped.IDToken",
    OAUTH2_PROVIDER={"SCOPES": {"openid": "who"}},
)
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
call_command("migrate", verbosity=0, run_syncdb=True)
from swapped.models import AccessToken, Application
client = Application.objects.create(
    client_type="confidential", authorization_grant_type="client-credentials",
    client_secret="made up", user=get_user_model().objects.create_user("ada"),
)
from frappe_tokens.contrib.oauth2 import allow_application
allow_application(client)
proof = {"client_id": client.client_id, "client_secret": "made up"}
def post(method, **params):
    return Client().post(f"/method/frappe.integrations.oauth2.{method}", params).json()
token = post("get_token", grant_type="client_credentials", **proof)["access_token"]
assert AccessToken.objects.get().application == client
def profile():
    url, header = "/method/frappe.integrations.oauth2.openid_profile", f"Bearer {token}"
    return Client().get(url, headers={"Authorization": header}).json()
assert profile()["name"] == "ada"
assert post("introspect_token", token=token, **proof)["active"] is True
Application.objects.update(switched_off=True)
assert profile()["code"] == "key_revoked"
assert post("revoke_token", token=token) == {}
assert not AccessToken.objects.exists()
"""

ORDER = """
set_up("django.contrib.sessions", "django.contrib.messages", {}, {}, {})
from django.contrib.admin import site
from oauth2_provider.models import Application
from frappe_tokens.contrib.oauth2.admin import OAuthApplicationAdminMixin
assert isinstance(site.get_model_admin(Application), OAuthApplicationAdminMixin)
"""


def run(script, path=""):
    finish("-c", SETUP + script, PYTHONPATH=f"{ROOT}{os.pathsep}{path}")


def test_opaque_token_is_401_without_the_extra_and_the_check_names_it():
    run(WITHOUT)


def test_swapped_models_work(tmp_path):
    (tmp_path / "swapped").mkdir()
    (tmp_path / "swapped/__init__.py").touch()
    (tmp_path / "swapped/models.py").write_text(MODELS)

    run(SWAPPED, tmp_path)


@pytest.mark.parametrize(
    "apps",
    [
        ("'frappe_tokens'", "'oauth2_provider'", "'django.contrib.admin'"),
        ("'django.contrib.admin'", "'frappe_tokens'", "'oauth2_provider'"),
    ],
    ids=["admin last", "admin first"],
)
def test_models_in_the_admin_are_guarded_in_any_order_of_the_apps(apps):
    run(ORDER.format(*apps))
