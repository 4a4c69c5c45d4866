from pathlib import Path

import pytest
import requests
from django.test import Client
from playwright.sync_api import expect

from tests.clients.conftest import install_package

# All other tests run in a desktop's window, with JavaScript.
WINDOWS = {
    "phone": {"viewport": {"width": 360, "height": 760}, "has_touch": True},
    "no-javascript": {"java_script_enabled": False},
}
each_window = pytest.mark.parametrize("options", WINDOWS.values(), ids=WINDOWS)

# Milliseconds. A machine that tests other things at the same time can be slow.
TIMEOUT = 30_000
expect.set_options(timeout=TIMEOUT)

GENERATE = "[data-frappe-tokens-dialog]"
SUBMIT = "#frappe-tokens-content [type=submit]"
KEY = "#frappe-tokens-value-key"
SECRET = "#frappe-tokens-value-secret"
HEADER = "#frappe-tokens-value-header"
CLOSE = ".frappe-tokens-close"


@pytest.fixture
def site(live_server):
    """The address that ``open_page`` starts from."""
    return live_server.url


@pytest.fixture
def problems():
    """Errors in the browser. A test removes those that it expects, and any other fails it."""
    problems = []
    yield problems
    assert problems == []


@pytest.fixture
def open_page(chromium, site, problems):
    """Open a page in a new window: ``open_page("/admin/", user, has_touch=True)``.

    It runs under the strict Content-Security-Policy of the test settings. A violation or an error
    in a script is among the problems.
    """
    contexts = []

    def note(message):
        if "Content Security Policy" in message.text:
            problems.append(message.text)

    def open_window(path, user=None, **options):
        context = chromium.new_context(base_url=site, **options)
        contexts.append(context)
        context.set_default_timeout(TIMEOUT)
        if user is not None:
            client = Client()
            client.force_login(user)
            session = client.cookies["sessionid"].value
            context.add_cookies([{"name": "sessionid", "value": session, "url": site}])
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", note)
        page.goto(path)
        return page

    yield open_window
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    """The source of axe-core, from npm."""
    directory = tmp_path_factory.mktemp("axe-core")
    installed = install_package("axe-core", Path(__file__).parent / "axe", directory)
    return (installed / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def whoami(live_server):
    """Send a header as a page shows it: ``whoami(header) == (200, '{"message":"ada"}')``."""

    def send(header):
        name, _, value = header.partition(": ")
        url = f"{live_server.url}/api/method/frappe.auth.get_logged_user"
        response = requests.get(url, headers={name: value}, timeout=30)
        return response.status_code, response.text

    return send


def user_path(user):
    return f"/admin/auth/user/{user.pk}/change/"


def fits(page):
    return page.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )


def tab_to(page, selector, at_most=80, key="Tab"):
    for _ in range(at_most):
        page.keyboard.press(key)
        if page.locator(selector).evaluate("e => e === document.activeElement"):
            return
    pytest.fail(f"{selector} is not reached by {key}")
