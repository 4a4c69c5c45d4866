"""The pages about OAuth 2, done step by step, as someone does who reads them."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import requests
from django.urls import clear_url_caches
from oauth2_provider.checks import validate_bcp_configuration
from oauth2_provider.models import AccessToken

from frappe_tokens.contrib.oauth2.admin import OAuthApplicationAdminMixin
from frappe_tokens.exceptions import Reason

from ..documentation import page
from .conftest import visit

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = "\n".join(
    map(page, ["how-to/set-up-oauth2", "how-to/register-oauth2-clients", "reference/oauth2"])
)
INSTALL = 'pip install "frappe-tokens[oauth]"\n'
# Each block with the title of its section.
BLOCKS = [
    (section.partition("\n")[0], language, text)
    for section in PAGE.split("\n## ")
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
]


class Reader:
    """Does what the guide says, with the site at ``url`` instead of https://example.com."""

    def __init__(self, url, settings):
        self.url = url
        self.settings = settings
        self.names = {"input": self._answer, "INSTALLED_APPS": ["first"]}
        self.environment = {"PATH": "/usr/bin:/bin:/usr/local/bin"}
        self.finished = set()

    def do(self, title):
        """Do the blocks of a section, and return what its commands print."""
        printed = []
        for _, language, text in (block for block in BLOCKS if block[0] == title):
            source = text.replace("https://example.com", self.url)
            if language == "python":
                exec(compile(source, "the documentation", "exec"), self.names)  # noqa: S102
                own = self.names.get("FRAPPE_TOKENS", {})
                self.settings.FRAPPE_TOKENS = {**self.settings.FRAPPE_TOKENS, **own}
            elif language == "json":
                assert {**printed[-1], "access_token": "..."} == json.loads(source)
            elif source != INSTALL:
                printed.append(self._run(source))
        self.finished.add(title)
        return printed

    def _run(self, command):
        command = ["sh", "-c", command]
        output = subprocess.check_output(command, env=self.environment, text=True, timeout=60)
        answer = json.loads(output)
        if "access_token" in answer:
            self.environment["ACCESS_TOKEN"] = answer["access_token"]
        return answer

    def _answer(self, prompt):
        (url,) = re.findall(r"http\S+", prompt)
        return visit("ada", url)


@pytest.fixture
def reader(live_server, settings, monkeypatch):
    """Has installed the server and declared scopes."""
    reader = Reader(live_server.url, settings)
    reader.do("Install")
    reader.do("Say what your views are for")
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
    assert validate_bcp_configuration(None) == []
    make_user("reports")
    reader.do("Make the clients")
    printed = capsys.readouterr().out
    assert "public client: " in printed
    client_id, client_secret = printed.split()[-2:]
    reader.environment |= {"CLIENT_ID": client_id, "CLIENT_SECRET": client_secret}

    _token, todos = reader.do("A service gets a token by its own credentials")
    assert todos["owner"] == "reports"

    reader.do("Who may let an application run as a user")
    guarded = reader.names["partner_site"].get_model_admin(reader.names["Application"])
    assert isinstance(guarded, OAuthApplicationAdminMixin)

    (client,) = reader.do("Let clients register themselves")
    assert client["client_name"] == "Notes"
    reader.do("Pages of other sites")

    reader.do("An application asks a user")
    assert reader.names["todos"]["owner"] == "ada"
    assert reader.names["profile"]["name"] == "ada"

    token = reader.environment["ACCESS_TOKEN"] = reader.names["token"]["access_token"]
    described, revoked = reader.do("Ask about a token, and end it")
    assert (described["active"], described["username"], revoked) == (True, "ada", {})
    assert reader.do("Ask about a token, and end it") == [{"active": False}, {}]
    header = {"Authorization": f"Bearer {token}"}
    refused = requests.get(f"{reader.url}/todos/", headers=header, timeout=30)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_credentials")
    assert [token.application.name for token in AccessToken.objects.all()] == ["Report service"]
    assert reader.finished == {title for title, _language, _text in BLOCKS}


def test_guide_names_what_exists():
    codes = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)[1:]

    assert len(codes) == 8
    assert set(codes) <= {reason.code for reason in Reason}
    assert INSTALL in PAGE
    assert re.search(r"^oauth = django-oauth-toolkit", (ROOT / "setup.cfg").read_text(), re.M)
