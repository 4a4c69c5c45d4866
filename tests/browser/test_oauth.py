"""The authorization code flow in a real browser, with a real client."""

from urllib.parse import parse_qs, urlsplit

import pytest
from authlib.integrations.requests_client import OAuth2Session
from playwright.sync_api import expect

from testproject import oauth
from tests.conftest import PASSWORD

from .conftest import each_window, fits, tab_to

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

ALLOW = ".frappe-tokens-primary"
CODE = "#frappe-tokens-value-code"
METHODS = "/api/method/frappe.integrations.oauth2."


@pytest.fixture
def ada(make_user):
    return make_user("ada", permissions=("todos.view_todo", "todos.add_todo"))


@pytest.fixture
def link(live_server):
    return oauth.public_client(live_server.url)


@each_window
def test_from_the_login_to_the_refused_request(
    open_page, live_server, ada, link, make_user, options
):
    page, site = open_page(link.address, **options), live_server.url

    expect(page).to_have_title("Log in")
    page.fill("#id_username", "ada")
    page.fill("#id_password", PASSWORD)
    page.press("#id_password", "Enter")
    expect(page.locator("h1")).to_have_text("Give access to To-do app?")
    expect(page.locator(".frappe-tokens-scopes li")).to_have_count(4)
    expect(page.locator("main")).to_contain_text("ada")
    assert not options.get("java_script_enabled", True) or fits(page)
    page.click(ALLOW)
    page.wait_for_url("**/oauth/callback/**")
    assert not options.get("java_script_enabled", True) or fits(page)
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
    created = client.post(todos, json={"description": "by an access token"}).json()
    assert created["data"]["owner"] == "ada"
    assert client.get(methods + "openid_profile").json()["name"] == "ada"
    token = client.refresh_token(methods + "get_token", refresh_token=token["refresh_token"])
    assert client.get(todos).status_code == 200
    service = OAuth2Session(oauth.SERVICE, oauth.confidential_client(make_user("service")))
    introspection = [methods + "introspect_token", token["access_token"]]
    assert service.introspect_token(*introspection).json()["username"] == "ada"
    assert client.revoke_token(methods + "revoke_token", token["access_token"]).json() == {}
    assert service.introspect_token(*introspection).json() == {"active": False}
    refused = client.get(todos)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_credentials")


def test_page_in_a_browser_gets_and_uses_a_token(open_page, ada, link):
    page = open_page(link.address, ada)
    tab_to(page, ALLOW)
    page.keyboard.press("Enter")
    page.wait_for_url("**/oauth/callback/?code=**")

    answers = page.evaluate(
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
    assert answers == [200, 200, {"data": []}]


def test_user_denies_access(open_page, ada, link):
    page = open_page(link.address, ada)

    page.get_by_role("button", name="Deny").click()

    page.wait_for_url("**/oauth/callback/?error=access_denied**")
    expect(page.locator("h1")).to_have_text("The application got no access")
