"""A real client of OAuth 2, Authlib's, does whole flows against a server."""

import re
from urllib.parse import urljoin

import pytest
import requests
from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from oauth2_provider.models import AccessToken

from ..conftest import PASSWORD
from .conftest import METHODS, REDIRECT_URI, SECRET

pytestmark = pytest.mark.django_db(transaction=True)

TODOS = "/api/resource/ToDo"


class Person:
    """Someone at a browser without JavaScript: logs in, reads the page, presses a button."""

    def __init__(self, username):
        self.username = username
        self.browser = requests.Session()

    def visit(self, address, allow=True):
        """The address that the browser is sent to in the end, outside of the site."""
        page = self.browser.get(address)
        assert "/login/" in page.url
        page = self._press(page, {"username": self.username, "password": PASSWORD})
        answered = self._press(page, {"allow": "true"} if allow else {}, allow_redirects=False)
        assert answered.status_code == 302, answered.text
        return answered.headers["Location"]

    def _press(self, page, sent, **options):
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text))
        sent = {name: value.replace("&amp;", "&") for name, value in {**hidden, **sent}.items()}
        return self.browser.post(
            urljoin(page.url, page.url), sent, headers={"Referer": page.url}, **options
        )


@pytest.fixture
def reader(make_user):
    return make_user("reader", permissions=("todos.view_todo", "todos.add_todo"))


def session(application, **options):
    return OAuth2Session(
        application.client_id,
        token_endpoint_auth_method="none",
        redirect_uri=REDIRECT_URI,
        code_challenge_method="S256",
        **options,
    )


def test_authorization_code_with_pkce_from_the_login_to_the_refusal(
    live_server, public, confidential, reader
):
    methods = live_server.url + METHODS
    todos = live_server.url + TODOS
    client = session(public, scope="read write todos openid")
    verifier = generate_token(48)
    address, state = client.create_authorization_url(methods + "authorize", code_verifier=verifier)
    back = Person("reader").visit(address)
    token = client.fetch_token(
        methods + "get_token", authorization_response=back, state=state, code_verifier=verifier
    )
    assert token["scope"] == "read write todos openid"

    assert client.get(todos).json() == {"data": []}
    made = client.post(todos, json={"description": "by an access token"})
    assert made.json()["data"]["owner"] == "reader"
    assert client.get(methods + "openid_profile").json()["name"] == "reader"

    old = token["access_token"]
    token = client.refresh_token(methods + "get_token", refresh_token=token["refresh_token"])
    assert token["access_token"] != old
    assert client.get(todos).status_code == 200
    assert (
        requests.get(todos, headers={"Authorization": f"Bearer {old}"}, timeout=30).status_code
        == 401
    )

    service = OAuth2Session(confidential.client_id, SECRET)
    told = service.introspect_token(methods + "introspect_token", token["access_token"]).json()
    assert (told["active"], told["username"]) == (True, "reader")

    ended = client.revoke_token(methods + "revoke_token", token["access_token"])
    assert (ended.status_code, ended.json()) == (200, {})
    refused = client.get(todos)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_credentials")
    told = service.introspect_token(methods + "introspect_token", token["access_token"]).json()
    assert told == {"active": False}
    with pytest.raises(OAuthError, match="invalid_grant"):
        client.refresh_token(methods + "get_token", refresh_token=token["refresh_token"])


def test_client_credentials_from_the_secret_to_the_refusal(live_server, confidential):
    methods = live_server.url + METHODS
    todos = live_server.url + TODOS
    with OAuth2Session(confidential.client_id, SECRET, scope="read todos") as client:
        token = client.fetch_token(methods + "get_token", grant_type="client_credentials")
        assert client.get(todos).json() == {"data": []}
        refused = client.post(todos, json={"description": "by a service"})
        assert (refused.status_code, refused.json()["code"]) == (403, "key_read_only")
        told = client.introspect_token(methods + "introspect_token", token["access_token"]).json()
        assert (told["active"], told["scope"]) == (True, "read todos")
        assert client.revoke_token(methods + "revoke_token", token["access_token"]).json() == {}
        refused = client.get(todos)
        assert (refused.status_code, refused.json()["code"]) == (401, "invalid_credentials")


def test_user_who_denies_gives_nothing(live_server, public, reader):
    client = session(public, scope="todos")
    address, state = client.create_authorization_url(
        live_server.url + METHODS + "authorize", code_verifier=generate_token(48)
    )
    back = Person("reader").visit(address, allow=False)
    assert back.startswith(f"{REDIRECT_URI}?error=access_denied&state={state}")
    assert not AccessToken.objects.exists()


def test_wrong_verifier_gets_nothing(live_server, public, reader):
    client = session(public, scope="todos")
    address, state = client.create_authorization_url(
        live_server.url + METHODS + "authorize", code_verifier=generate_token(48)
    )
    back = Person("reader").visit(address)
    with pytest.raises(OAuthError, match="invalid_grant"):
        client.fetch_token(
            live_server.url + METHODS + "get_token",
            authorization_response=back,
            state=state,
            code_verifier=generate_token(48),
        )


def test_addresses_are_found_by_the_metadata(live_server, public, reader):
    told = requests.get(get_well_known_url(live_server.url, external=True), timeout=30).json()
    metadata = AuthorizationServerMetadata(told)
    metadata.validate_authorization_endpoint()
    metadata.validate_grant_types_supported()
    metadata.validate_response_types_supported()
    assert metadata["issuer"] == live_server.url

    client = session(public, scope="todos")
    verifier = generate_token(48)
    address, state = client.create_authorization_url(
        metadata["authorization_endpoint"], code_verifier=verifier
    )
    back = Person("reader").visit(address)
    assert f"iss={live_server.url.replace(':', '%3A').replace('/', '%2F')}" in back
    client.fetch_token(
        metadata["token_endpoint"],
        authorization_response=back,
        state=state,
        code_verifier=verifier,
    )
    assert client.get(live_server.url + TODOS).status_code == 200
