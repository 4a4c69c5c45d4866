"""The authorization code flow in a real browser, by an application that is a real client."""

import os
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session
from oauth2_provider.models import AccessToken, Grant
from playwright.sync_api import expect

from testproject import oauth
from tests.conftest import PASSWORD

from .conftest import Visitor
from .test_account import WINDOWS
from .test_generate_keys import no_sideways_scrolling, tab_to

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

ALLOW = ".frappe-tokens-primary"
CODE = "#frappe-tokens-value-code"
METHODS = "/api/method/frappe.integrations.oauth2."


@pytest.fixture
def window(chromium, live_server):
    """Opens windows in which nobody is signed in: ``window(color_scheme="dark")``."""
    folder = os.environ.get("SCREENSHOT_DIR")
    contexts = []
    visitors = []

    def open_window(**options):
        contexts.append(chromium.new_context(**options))
        contexts[-1].set_default_timeout(10_000)
        visitor = Visitor(
            contexts[-1].new_page(), live_server.url, folder=Path(folder) if folder else None
        )
        visitors.append(visitor)
        visitor.page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
        visitor.page.on("console", lambda message: visitor.complaints.append(message.text))
        return visitor

    yield open_window
    complaints = [complaint for visitor in visitors for complaint in visitor.complaints]
    for context in contexts:
        context.close()
    assert [each for each in complaints if "Content Security Policy" in each] == []


@pytest.fixture
def ada(make_user):
    return make_user("ada", permissions=("todos.view_todo", "todos.add_todo"))


def log_in(page):
    page.fill("#id_username", "ada")
    page.fill("#id_password", PASSWORD)
    page.press("#id_password", "Enter")


@pytest.mark.parametrize("look", WINDOWS)
def test_from_the_login_to_the_refused_call(window, ada, look, make_user):
    visitor = window(**WINDOWS[look])
    page, site = visitor.page, visitor.site
    link = oauth.public_client(site)

    page.goto(link.address)
    expect(page).to_have_title("Log in")
    log_in(page)
    expect(page.locator("h1")).to_have_text("Give access to To-do app?")
    expect(page.locator(".frappe-tokens-scopes li")).to_have_count(4)
    expect(page.locator("main")).to_contain_text("ada")
    assert no_sideways_scrolling(visitor)
    visitor.shoot(f"oauth-consent-{look}")
    page.click(ALLOW)
    page.wait_for_url("**/oauth/callback/**")
    assert no_sideways_scrolling(visitor)
    visitor.shoot(f"oauth-code-{look}")
    shown = page.locator(CODE).text_content()
    assert parse_qs(urlsplit(page.url).query)["code"] == [shown]

    client = OAuth2Session(
        oauth.APP, token_endpoint_auth_method="none", redirect_uri=link.redirect_uri
    )
    methods = site + METHODS
    token = client.fetch_token(
        methods + "get_token", authorization_response=page.url, code_verifier=link.code_verifier
    )
    todos = f"{site}/api/resource/ToDo"
    made = client.post(todos, json={"description": "by an access token"}).json()
    assert made["data"]["owner"] == "ada"
    assert client.get(methods + "openid_profile").json()["name"] == "ada"
    token = client.refresh_token(methods + "get_token", refresh_token=token["refresh_token"])
    assert client.get(todos).status_code == 200
    secret = oauth.confidential_client(make_user("service"))
    service = OAuth2Session(oauth.SERVICE, secret)
    asked = [methods + "introspect_token", token["access_token"]]
    assert service.introspect_token(*asked).json()["username"] == "ada"
    assert client.revoke_token(methods + "revoke_token", token["access_token"]).json() == {}
    assert service.introspect_token(*asked).json() == {"active": False}
    refused = client.get(todos)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_credentials")


def test_page_in_the_browser_gets_and_uses_a_token(window, ada):
    page, site = (visitor := window()).page, visitor.site
    link = oauth.public_client(site)
    page.goto(link.address)
    log_in(page)
    page.click(ALLOW)
    page.wait_for_url("**/oauth/callback/**")

    listed = page.evaluate(
        """async ([getToken, todos, verifier, redirectUri, clientId]) => {
            const body = new URLSearchParams({
                grant_type: "authorization_code",
                client_id: clientId,
                redirect_uri: redirectUri,
                code_verifier: verifier,
                code: new URLSearchParams(location.search).get("code"),
            });
            const answer = await fetch(getToken, { method: "POST", body, credentials: "omit" });
            const { access_token: token } = await answer.json();
            const headers = { Authorization: `Bearer ${token}` };
            const listed = await fetch(todos, { headers, credentials: "omit" });
            return [answer.status, listed.status, await listed.json()];
        }""",
        [
            METHODS + "get_token",
            "/api/resource/ToDo",
            link.code_verifier,
            link.redirect_uri,
            oauth.APP,
        ],
    )
    assert listed == [200, 200, {"data": []}]


def test_user_who_denies_gives_nothing_away(window, ada):
    visitor = window()
    page = visitor.page
    page.goto(oauth.public_client(visitor.site).address)
    log_in(page)
    page.get_by_role("button", name="Deny").click()
    page.wait_for_url("**/oauth/callback/?error=access_denied**")
    expect(page.locator("h1")).to_have_text("The application got no access")
    visitor.shoot("oauth-denied")
    assert not Grant.objects.exists()
    assert not AccessToken.objects.exists()


def test_access_is_given_by_keyboard_alone(window, ada):
    visitor = window()
    page = visitor.page
    page.goto(oauth.public_client(visitor.site).address)
    log_in(page)
    expect(page.locator(ALLOW)).to_be_visible()
    tab_to(page, ALLOW)
    page.keyboard.press("Enter")
    page.wait_for_url("**/oauth/callback/?code=**")


def test_wrong_request_is_explained_and_sends_nobody_away(window, ada):
    visitor = window()
    page = visitor.page
    link = oauth.public_client(visitor.site)
    page.goto(link.address.replace("callback%2F", "elsewhere%2F"))
    log_in(page)
    expect(page.locator("h1")).to_have_text("This request for access is invalid")
    expect(page.get_by_role("alert")).to_contain_text("redirect")
    assert page.url.startswith(visitor.site + METHODS)
    visitor.shoot("oauth-wrong")


def test_page_cannot_be_framed(window, ada):
    visitor = window()
    link = oauth.public_client(visitor.site)
    assert requests.get(link.address, timeout=30).headers["X-Frame-Options"] == "DENY"
