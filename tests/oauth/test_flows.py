"""A real OAuth 2 client, Authlib's, does whole flows against a server."""

import re
from html import unescape

import pytest
import requests
from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url

from ..conftest import PASSWORD
from .conftest import REDIRECT_URI, SECRET

pytestmark = pytest.mark.django_db(transaction=True)


class Person:
    """Someone at a browser without JavaScript: logs in, reads the page, presses a button."""

    def __init__(self, username):
        self.username = username
        self.browser = requests.Session()

    def visit(self, url):
        """Return the URL that the browser is sent to in the end, outside of the site."""
        page = self.browser.get(url)
        assert "/login/" in page.url
        page = self._press(page, {"username": self.username, "password": PASSWORD})
        answer = self._press(page, {"allow": "true"}, allow_redirects=False)
        assert answer.status_code == 302, answer.text
        return answer.headers["Location"]

    def _press(self, page, fields, **options):
        hidden = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text)
        form = {**{name: unescape(value) for name, value in hidden}, **fields}
        return self.browser.post(page.url, form, headers={"Referer": page.url}, **options)


@pytest.fixture
def endpoints(live_server):
    """The URLs that the server's metadata gives."""
    url = get_well_known_url(live_server.url, external=True)
    metadata = AuthorizationServerMetadata(requests.get(url, timeout=30).json())
    metadata.validate_authorization_endpoint()
    metadata.validate_grant_types_supported()
    metadata.validate_response_types_supported()
    assert metadata["issuer"] == live_server.url
    return {name: url for name, url in metadata.items() if name.endswith("_endpoint")}


@pytest.fixture
def todos(live_server):
    return f"{live_server.url}/api/resource/ToDo"


def test_authorization_code_with_pkce(endpoints, todos, public, confidential, make_user):
    make_user("reader", permissions=("todos.view_todo", "todos.add_todo"))
    token_url, verifier = endpoints["token_endpoint"], generate_token(48)
    client = OAuth2Session(
        public.client_id,
        token_endpoint_auth_method="none",
        redirect_uri=REDIRECT_URI,
        code_challenge_method="S256",
        scope="read write todos openid",
    )
    url, state = client.create_authorization_url(
        endpoints["authorization_endpoint"], code_verifier=verifier
    )
    back = Person("reader").visit(url)
    code = {"authorization_response": back, "state": state}

    with pytest.raises(OAuthError, match="invalid_grant"):
        client.fetch_token(token_url, code_verifier=generate_token(48), **code)
    token = client.fetch_token(token_url, code_verifier=verifier, **code)

    assert token["scope"] == "read write todos openid"
    created = client.post(todos, json={"description": "by an access token"})
    assert created.json()["data"]["owner"] == "reader"
    assert client.get(endpoints["userinfo_endpoint"]).json()["name"] == "reader"

    old = {"Authorization": f"Bearer {token['access_token']}"}
    token = client.refresh_token(token_url, refresh_token=token["refresh_token"])
    assert client.get(todos).status_code == 200
    assert requests.get(todos, headers=old, timeout=30).status_code == 401

    service = OAuth2Session(confidential.client_id, SECRET)
    introspect = endpoints["introspection_endpoint"]
    described = service.introspect_token(introspect, token["access_token"]).json()
    assert (described["active"], described["username"]) == (True, "reader")

    revoked = client.revoke_token(endpoints["revocation_endpoint"], token["access_token"])
    assert (revoked.status_code, revoked.json()) == (200, {})
    assert client.get(todos).json()["code"] == "invalid_credentials"
    assert service.introspect_token(introspect, token["access_token"]).json() == {"active": False}
    with pytest.raises(OAuthError, match="invalid_grant"):
        client.refresh_token(token_url, refresh_token=token["refresh_token"])


def test_client_credentials(endpoints, todos, confidential):
    client = OAuth2Session(confidential.client_id, SECRET, scope="read todos")

    token = client.fetch_token(endpoints["token_endpoint"], grant_type="client_credentials")

    assert client.get(todos).json() == {"data": []}
    assert client.post(todos, json={"description": "x"}).json()["code"] == "key_read_only"
    revoked = client.revoke_token(endpoints["revocation_endpoint"], token["access_token"])
    assert revoked.json() == {}
    assert client.get(todos).json()["code"] == "invalid_credentials"
