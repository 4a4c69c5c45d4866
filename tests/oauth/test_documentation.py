"""docs/oauth.md, done step by step, as somebody does who reads it."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import requests
from django.conf import settings as present
from django.urls import clear_url_caches
from oauth2_provider.models import AccessToken

from frappe_tokens.contrib.oauth2.admin import OAuthApplicationAdminMixin
from frappe_tokens.exceptions import Reason

from .test_flows import Person

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs/oauth.md").read_text()
BLOCKS = re.findall(r"^## (.+?)$|^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


class Reader:
    """Takes the blocks of a section, one after the other, and does what they say.

    Args:
        site: where ``https://example.com`` is.
        human: opens an address in a browser, and tells the one that it comes back to.
    """

    def __init__(self, site, human):
        self.site = site
        self.human = human
        self.names = {"input": self._answer, "INSTALLED_APPS": ["first"]}
        self.environment = {}

    def python(self, section, number=0):
        exec(compile(self._block(section, "python", number), "oauth.md", "exec"), self.names)  # noqa: S102

    def sh(self, section, number=0):
        done = subprocess.run(
            ["sh", "-c", self._block(section, "sh", number)],
            env={"PATH": "/usr/bin:/bin:/usr/local/bin", **self.environment},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return json.loads(done.stdout)

    def _block(self, section, language, number):
        blocks, here = [], ""
        for title, kind, text in BLOCKS:
            here = title or here
            if kind == language and here == section:
                blocks.append(text)
        return blocks[number].replace("https://example.com", self.site)

    def _answer(self, prompt):
        (address,) = re.findall(r"http\S+", prompt)
        return self.human(address)


@pytest.fixture
def reader(live_server, settings, monkeypatch):
    """Has done "Install" and "Say what your views are for"."""
    reader = Reader(live_server.url, Person("ada").visit)
    reader.python("Install", 0)
    reader.python("Install", 1)
    reader.python("Say what your views are for")
    assert reader.names["INSTALLED_APPS"] == ["first", "oauth2_provider"]
    settings.OAUTH2_PROVIDER = reader.names["OAUTH2_PROVIDER"]
    settings.LOGIN_URL = "login"
    urlconf = ModuleType("urls_of_the_guide")
    urlconf.urlpatterns = reader.names["urlpatterns"]
    monkeypatch.setitem(sys.modules, urlconf.__name__, urlconf)
    settings.ROOT_URLCONF = urlconf.__name__
    clear_url_caches()
    return reader


@pytest.mark.django_db(transaction=True)
def test_guide_gets_a_token_by_both_flows(reader, user, make_user, capsys):
    make_user("reports")
    reader.python("Make the clients")
    printed = capsys.readouterr().out
    assert "public client: " in printed
    service, secret = printed.split()[-2:]
    reader.environment = {"CLIENT_ID": service, "CLIENT_SECRET": secret}

    told = reader.sh("A service gets a token by its own credentials", 0)
    (documented,) = (json.loads(text) for _, kind, text in BLOCKS if kind == "json")
    assert {**told, "access_token": "..."} == documented
    reader.environment["ACCESS_TOKEN"] = told["access_token"]
    assert reader.sh("A service gets a token by its own credentials", 1)["owner"] == "reports"

    reader.python("Who may let an application run as a user")
    guarded = reader.names["partner_site"].get_model_admin(reader.names["Application"])
    assert isinstance(guarded, OAuthApplicationAdminMixin)

    for number in range(2):
        reader.python("An application asks a user", number)
    assert reader.names["todos"]["owner"] == "ada"
    assert reader.names["profile"]["name"] == "ada"
    old = reader.names["token"]["access_token"]
    reader.python("An application asks a user", 2)
    new = reader.names["token"]["access_token"]
    assert new != old

    reader.environment["ACCESS_TOKEN"] = new
    told = reader.sh("Ask about a token, and end it", 0)
    assert (told["active"], told["username"]) == (True, "ada")
    assert reader.sh("Ask about a token, and end it", 1) == {}
    assert reader.sh("Ask about a token, and end it", 0) == {"active": False}
    refused = requests.get(
        f"{reader.site}/todos/", headers={"Authorization": f"Bearer {new}"}, timeout=30
    )
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_credentials")
    assert [token.application.name for token in AccessToken.objects.all()] == ["Report service"]


def test_guides_settings_pass_the_toolkits_own_checks(reader):
    from oauth2_provider.checks import validate_bcp_configuration

    assert reader.names["OAUTH2_PROVIDER"] == present.OAUTH2_PROVIDER
    assert validate_bcp_configuration(None) == []


def test_every_block_is_done():
    done = {
        "Install": ["sh", "python", "python"],
        "Say what your views are for": ["python"],
        "Make the clients": ["python"],
        "A service gets a token by its own credentials": ["sh", "json", "sh"],
        "Who may let an application run as a user": ["python"],
        "An application asks a user": ["python", "python", "python"],
        "Ask about a token, and end it": ["sh", "sh"],
    }
    found = {}
    here = ""
    for title, kind, _ in BLOCKS:
        here = title or here
        if kind:
            found.setdefault(here, []).append(kind)
    assert found == done


def test_install_names_an_extra_that_there_is():
    assert 'pip install "frappe-tokens[oauth]"' in PAGE
    assert re.search(r"^oauth = django-oauth-toolkit", (ROOT / "setup.cfg").read_text(), re.M)


def test_guide_names_codes_that_there_are():
    named = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert set(named[1:]) <= {reason.code for reason in Reason}
    assert len(named) == 9
