"""frappectl, Frappe's command line for people and agents, unmodified."""

import json
import os
import pty
import shutil
import socket
import subprocess
import sys

import pytest
from oauth2_provider.models import AccessToken, Application, RefreshToken

from frappe_tokens.keys import generate_keys
from testproject.todos.models import ToDo
from tests.documentation import blocks, page

from .conftest import expire_access_tokens, query

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

FRAPPECTL = [sys.executable, "-m", "frappectl"]
(LOGIN,) = [
    block for block in blocks(page("how-to/give-an-agent-access"), "sh") if "auth login" in block
]


class Machine:
    """A user's machine: where frappectl keeps its profiles and, in place of a keyring, a file."""

    def __init__(self, home):
        self.home = home

    def environment(self, **more):
        return {
            **{name: value for name, value in os.environ.items() if name != "FRAPPE_SITE"},
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_DATA_HOME": str(self.home / "data"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "PYTHON_KEYRING_BACKEND": "keyrings.alt.file.PlaintextKeyring",
            "BROWSER": "true",  # the test has its own
            "COLUMNS": "5000",  # so that it doesn't break the address that it prints
            **more,
        }

    def run(self, *arguments, **environment):
        """Return what a command prints as JSON, or its error."""
        done = subprocess.run(
            [*FRAPPECTL, *arguments],
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=60,
        )
        return json.loads(done.stdout) if done.returncode == 0 and done.stdout else done.stderr

    def log_in(self, site, open_address):
        """Log in by OAuth, and return what it says."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        terminal, keyboard = pty.openpty()  # it refuses to log in without a terminal
        command = LOGIN.replace("https://example.com", site).split()[1:]
        command += ["--oauth-port", str(port), "--writable", "--name", "work", "--description", ""]
        with subprocess.Popen(
            [*FRAPPECTL, *command],
            env=self.environment(),
            stdin=keyboard,
            stderr=subprocess.PIPE,
            text=True,
        ) as login:
            try:
                for line in login.stderr:
                    if line.startswith("http"):
                        open_address(line.strip())
                        break
                return login.stderr.read() if login.wait(60) == 0 else line + login.stderr.read()
            finally:
                login.kill()
                os.close(terminal)
                os.close(keyboard)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path / "machine")


def test_from_the_site_to_the_refused_call(machine, tmp_path, decide, ada, live_server):
    asked = []

    def open_address(address):
        asked.append(query(address))
        decide(address)

    assert "logged in as ada" in machine.log_in(live_server.url, open_address)
    assert asked[0]["code_challenge_method"] == "S256"
    assert asked[0]["scope"] == "openid all"
    assert Application.objects.get().client_id == asked[0]["client_id"]
    assert machine.run("auth", "whoami")["user"] == "ada"
    created = machine.run("doc", "create", "ToDo", "--set", "description=Water")
    assert created["owner"] == "ada"
    assert machine.run("doc", "list", "ToDo", "--fields", "description") == [
        {"description": "Water"}
    ]

    before = set(AccessToken.objects.values_list("token_checksum", flat=True))
    expire_access_tokens()
    assert machine.run("auth", "whoami")["user"] == "ada"
    assert not before & set(AccessToken.objects.values_list("token_checksum", flat=True))

    stolen = Machine(tmp_path / "copy")
    shutil.copytree(machine.home, stolen.home)
    assert "removed" in machine.run("auth", "logout", "work")
    assert not AccessToken.objects.exists()
    assert not RefreshToken.objects.filter(revoked=None).exists()
    assert "Authentication failed (401)" in stolen.run("auth", "whoami")
    assert ToDo.objects.count() == 1


def test_api_key(machine, ada, live_server):
    keys = generate_keys(ada, scopes=["todos"], read_only=True)
    key = {
        "FRAPPE_SITE": live_server.url,
        "FRAPPE_API_KEY": keys.api_key,
        "FRAPPE_API_SECRET": str(keys.api_secret),
    }

    assert machine.run("auth", "whoami", **key)["user"] == "ada"
    assert machine.run("doc", "list", "ToDo", **key) == []
    refused = machine.run("doc", "create", "ToDo", "--set", "description=Water", **key)
    assert "read-only" in refused
    assert not ToDo.objects.exists()
