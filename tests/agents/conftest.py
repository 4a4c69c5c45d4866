import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from django.utils import timezone
from oauth2_provider.models import AccessToken

from testproject import settings as example
from tests.browser.conftest import (  # noqa: F401 - pytest finds fixtures by their names here
    open_page,
    problems,
    site,
)
from tests.clients.conftest import install_package
from tests.conftest import PASSWORD

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _registration(settings):
    """As in the example project. But all tests together register more than an address may."""
    names = ["ALL_SCOPE", "OAUTH_DYNAMIC_REGISTRATION", "OAUTH_REGISTRATION_SCOPES"]
    own = {name: example.FRAPPE_TOKENS[name] for name in names}
    settings.FRAPPE_TOKENS = {
        **settings.FRAPPE_TOKENS,
        **own,
        "OAUTH_REGISTRATION_LIMIT": None,
    }


@pytest.fixture
def ada(make_user):
    return make_user("ada", permissions=("todos.view_todo", "todos.add_todo"))


@pytest.fixture
def endpoint(live_server):
    return f"{live_server.url}/api/mcp"


@pytest.fixture
def decide(request, chromium):
    """Log in as ada in Chromium, and decide about the access that a program asks for.

    ``decide(address)`` gives access; ``decide(address, "Deny")`` doesn't. Returns where the browser
    is sent to, which may be an address that only an app on a phone can open.

    It names ``chromium``, whose loop must run before the test has its database. Otherwise, Django
    would forbid the other databases on one connection, and allow them again on another.
    """
    visit = request.getfixturevalue("open_page")

    def press(address, button="Give access"):
        page = visit(address)
        page.fill("#id_username", "ada")
        page.fill("#id_password", PASSWORD)
        page.press("#id_password", "Enter")
        button = page.get_by_role("button", name=button, exact=True)
        with page.expect_response(lambda sent: sent.request.method == "POST") as answered:
            button.click()
        back = answered.value.headers["location"]
        if back.startswith("http"):
            page.wait_for_url(back)
        return back

    return press


class Program:
    """A program that runs beside the tests, and that answers line by line."""

    def __init__(self, command, cwd, open_address, errors, **environment):
        self.open_address = open_address
        self.errors = errors
        with errors.open("w") as file:
            self.process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
            )
        # It might wait for something that never happens.
        self.timer = threading.Timer(120, self.process.kill)
        self.timer.start()

    def tell(self, **line):
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()

    def ask(self, **question):
        self.tell(**question)
        return self.answer()

    def answer(self):
        for line in self.process.stdout:
            event = json.loads(line)
            if "open" not in event:
                return event
            self.open_address(event["open"])
        return pytest.fail(f"It ended: {self.errors.read_text()}")

    def end(self):
        self.timer.cancel()
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def run(tmp_path):
    """Start a program, which ends with the test."""
    programs = []

    def start(command, cwd, open_address, **environment):
        errors = tmp_path / f"errors-{len(programs)}"
        programs.append(Program(command, cwd, open_address, errors, **environment))
        return programs[-1]

    yield start
    for program in programs:
        program.end()


def expire_access_tokens():
    AccessToken.objects.update(expires=timezone.now())


def query(address):
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


@pytest.fixture(scope="session")
def packages(tmp_path_factory):
    """A directory with the clients for Node.js, and the packages that they use."""
    directory = install_package("agents in Node.js", HERE, tmp_path_factory.mktemp("agents"))
    for script in HERE.glob("*.mjs"):
        shutil.copy(script, directory)
    return directory
