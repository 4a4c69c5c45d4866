"""The unmodified SDKs of the Model Context Protocol, from the bare address of the endpoint on."""

import sys

import pytest
import requests
from oauth2_provider.models import AccessToken, Application, RefreshToken

from testproject.todos.models import ToDo
from tests.documentation import ROOT

from .conftest import expire_access_tokens, query

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


PYTHON = [sys.executable, "-m", "tests.agents.python_sdk"], ROOT


@pytest.fixture(params=["Python", pytest.param("TypeScript", marks=pytest.mark.node)])
def sdk(request):
    """The command that runs an agent, and its directory."""
    if request.param == "Python":
        return PYTHON
    return ["node", "typescript_sdk.mjs"], request.getfixturevalue("packages")


def test_from_the_address_to_the_refused_call(sdk, run, decide, ada, endpoint, live_server):
    buttons, asked = ["Give access", "Deny"], []

    def open_address(address):
        asked.append(query(address))
        decide(address, buttons.pop(0))

    command, directory = sdk
    agent = run([*command, endpoint], directory, open_address)

    # Discovery, registration, login and consent, and the code with PKCE.
    assert agent.answer() == {"tools": ["whoami", "list_todos", "add_todo"]}
    assert asked[0]["code_challenge_method"] == "S256"
    assert asked[0]["resource"] == endpoint
    assert asked[0]["scope"] == "todos"
    assert Application.objects.get().client_id == asked[0]["client_id"]
    assert agent.ask(call="whoami") == {"user": "ada"}
    assert agent.ask(call="add_todo", arguments={"description": "Water"})["owner"] == "ada"
    assert ToDo.objects.get().owner == ada

    first = agent.ask(tokens=True)
    # It was issued for the endpoint alone.
    headers = {"Authorization": f"Bearer {first['access_token']}"}
    elsewhere = requests.get(f"{live_server.url}/api/resource/ToDo", headers=headers, timeout=30)
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (401, "invalid_credentials")

    expire_access_tokens()
    agent.ask(expire=True)
    assert agent.ask(call="list_todos")["todos"][0]["description"] == "Water"
    second = agent.ask(tokens=True)
    assert first["access_token"] != second["access_token"]
    assert first["refresh_token"] != second["refresh_token"]
    assert len(asked) == 1  # the user noticed nothing

    assert agent.ask(revoke=True) == {"status": 200}
    assert not AccessToken.objects.exists()
    assert not RefreshToken.objects.filter(revoked=None).exists()
    refused = agent.ask(call="list_todos")
    assert "error" in refused
    assert len(asked) == 2  # it asked for access again


def test_user_is_asked_for_a_scope_that_a_tool_needs(run, decide, ada, endpoint):
    asked = []

    def open_address(address):
        asked.append(query(address))
        decide(address)

    command, directory = PYTHON
    agent = run([*command, endpoint], directory, open_address)
    agent.answer()
    AccessToken.objects.update(scope="openid")

    assert agent.ask(call="whoami") == {"user": "ada"}
    assert len(asked) == 1
    assert agent.ask(call="list_todos") == {"todos": []}
    assert asked[1]["scope"] == "todos"
    assert asked[1]["client_id"] == asked[0]["client_id"]
