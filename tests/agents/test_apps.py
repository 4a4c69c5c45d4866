"""Apps on a user's device, with the libraries that many of them use."""

import os
import shutil
import socket
import threading

import pytest
import requests
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session
from oauth2_provider.models import Application

from .conftest import expire_access_tokens, query
from .loopback import Loopback

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

TODOS = "/api/resource/ToDo"


def test_authlib_on_the_loopback_interface(decide, ada, live_server):
    site = live_server.url
    server = requests.get(f"{site}/.well-known/oauth-authorization-server", timeout=30).json()
    metadata = {
        "client_name": "Authlib",
        "redirect_uris": ["http://127.0.0.1/callback"],  # at any port
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
    }
    registered = requests.post(server["registration_endpoint"], json=metadata, timeout=30)
    assert registered.status_code == 201
    assert "client_secret" not in registered.json()

    with Loopback() as loopback:
        client = OAuth2Session(
            registered.json()["client_id"],
            token_endpoint_auth_method="none",
            redirect_uri=loopback.redirect_uri,
            scope="todos",
            code_challenge_method="S256",
        )
        verifier = generate_token(48)
        address, state = client.create_authorization_url(
            server["authorization_endpoint"], code_verifier=verifier
        )
        waiting = threading.Thread(target=loopback.wait)
        waiting.start()
        assert decide(address) == loopback.back
        waiting.join()
    client.fetch_token(
        server["token_endpoint"],
        authorization_response=loopback.back,
        code_verifier=verifier,
        state=state,
    )

    assert query(loopback.back)["iss"] == server["issuer"] == site
    created = client.post(site + TODOS, json={"description": "Water"}).json()["data"]
    assert created["owner"] == "ada"
    before = client.token
    expire_access_tokens()
    after = client.refresh_token(server["token_endpoint"])
    assert not {before["access_token"], before["refresh_token"]} & set(map(str, after.values()))
    assert client.get(site + TODOS).status_code == 200
    assert client.revoke_token(server["revocation_endpoint"], after["access_token"]).json() == {}
    assert client.get(site + TODOS).json()["code"] == "invalid_credentials"


@pytest.mark.node
@pytest.mark.parametrize("redirect", ["loopback", "private-use"])
def test_appauth(packages, run, decide, ada, live_server, tmp_path, redirect):
    asked = []

    def open_address(address):
        asked.append(query(address))
        back = decide(address)
        if redirect == "private-use":  # Chromium leaves it to the phone's system
            assert back.startswith("com.example.app:/callback?code=")
            app.tell(back=back)

    # AppAuth starts a browser by this name. The test has its own.
    (tmp_path / "xdg-open").symlink_to(shutil.which("true"))
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    port = [str(free_port())] if redirect == "loopback" else []
    app = run(["node", "appauth.mjs", live_server.url, *port], packages, open_address, PATH=path)

    assert app.answer() == {"scope": "todos"}
    assert asked[0]["code_challenge_method"] == "S256"
    assert Application.objects.get().client_id == asked[0]["client_id"]
    assert app.ask(get=TODOS) == {"status": 200, "data": []}
    expire_access_tokens()
    assert app.ask(get=TODOS)["code"] == "key_expired"
    assert app.ask(refresh=True) == {"refreshed": True}
    assert app.ask(get=TODOS)["status"] == 200
    assert app.ask(revoke=True) == {"revoked": True}
    refused = app.ask(get=TODOS)
    assert (refused["status"], refused["code"]) == (401, "invalid_credentials")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
