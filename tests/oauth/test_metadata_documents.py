"""Clients that are known by their metadata document only (CIMD)."""

from typing import Any

import pytest
from oauth2_provider.models import Application, Grant

from .conftest import REDIRECT_URI
from .test_addresses import ada as ada
from .test_addresses import answer, back, code_for, redeem, url_of
from .test_registration import registering as registering

pytestmark = pytest.mark.django_db

CLIENT_ID = "https://client.example.com/oauth.json"
LOOPBACK = "http://127.0.0.1/callback"


class Fetcher:
    """As a project may have one for its proxy. The toolkit's own only fetches from the internet."""

    documents: dict[str, dict[str, Any]] = {}
    fetched: list[str] = []

    def fetch(self, client_id):
        self.fetched.append(client_id)
        return self.documents[client_id], 300


@pytest.fixture
def publish(registering, toolkit):
    """Publishes a document, and returns what stands for its application."""
    Fetcher.documents, Fetcher.fetched = {}, []
    toolkit(CIMD_ENABLED=True, CIMD_METADATA_FETCHER=f"{__name__}.Fetcher")

    def make(client_id=CLIENT_ID, **changes):
        content = {"client_id": client_id, "client_name": "Agent", "redirect_uris": [REDIRECT_URI]}
        Fetcher.documents[client_id] = {**content, **changes}
        return Application(client_id=client_id, redirect_uris="")

    return make


def test_client_gets_what_is_declared_after_the_users_consent(publish, ada):
    client = publish()

    code = code_for(ada, client, scope="read write todos")
    sent = redeem(client, code).json()

    assert set(sent["scope"].split()) == {"read", "todos"}
    stored = Application.objects.get()
    assert (stored.registration_source, stored.client_type) == ("cimd", "public")
    Application.objects.update(skip_authorization=True)
    page = ada.get(url_of(client, approval_prompt="auto"))
    assert "This application registered itself" in page.content.decode()
    assert Fetcher.fetched == [CLIENT_ID]


def test_program_on_the_users_device_may_use_any_port(publish, ada):
    client = publish(redirect_uris=[LOOPBACK])
    uri = "http://127.0.0.1:49152/callback"

    answered = answer(ada, client, {"allow": "true"}, redirect_uri=uri)

    assert answered["Location"].startswith(f"{uri}?code=")


@pytest.mark.parametrize(
    "uri", ["http://app.example.com/callback", "https://*.example.com/callback", "myapp://callback"]
)
def test_unsafe_redirect_uris_are_refused(publish, ada, toolkit, uri):
    toolkit(ALLOW_URI_WILDCARDS=True, ALLOWED_REDIRECT_URI_SCHEMES=["https", "http", "myapp"])
    client = publish(redirect_uris=[uri])

    for sent in (uri, uri.replace("*", "evil"), None):
        assert ada.get(url_of(client, redirect_uri=sent)).status_code == 400
    assert not Grant.objects.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge_method": "plain"},
    ],
)
def test_pkce_with_s256_is_required(publish, ada, toolkit, changes):
    toolkit(PKCE_REQUIRED=False, COMPLIANT_BCP_RFC9700_PKCE_METHOD=False)

    sent = back(ada.get(url_of(publish(), **changes)))

    assert sent["error"] == "invalid_request"


def test_documents_are_fetched_up_to_the_limit_and_known_clients_still_work(
    registering, publish, ada
):
    registering(OAUTH_REGISTRATION_LIMIT="2/hour")
    clients = [publish(f"https://client.example.com/{number}.json") for number in range(3)]

    statuses = [ada.get(url_of(client)).status_code for client in clients]

    assert statuses == [200, 200, 400]
    assert len(Fetcher.fetched) == 2
    assert ada.get(url_of(clients[0])).status_code == 200


def test_documents_are_not_fetched_unless_the_project_wants_that(registering, ada, toolkit):
    Fetcher.fetched = []
    toolkit(CIMD_METADATA_FETCHER=f"{__name__}.Fetcher")

    assert ada.get(url_of(Application(client_id=CLIENT_ID))).status_code == 400
    assert Fetcher.fetched == []
