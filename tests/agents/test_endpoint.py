"""The example's MCP endpoint with API keys: which tools a key opens."""

import json

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client

from frappe_tokens.keys import generate_keys
from testproject.todos.models import ToDo
from tests.client import JSON
from tests.conftest import basic_header, bearer_header, token_header

PATH = "/api/mcp"
PERMISSIONS = ("todos.view_todo", "todos.add_todo")
WATER = {"description": "Water"}


@pytest.fixture
def ada(make_user):
    return make_user("ada", permissions=PERMISSIONS)


def message(method, **params):
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def send(keys, sent, header_of=bearer_header, **headers):
    headers = {"Authorization": header_of(keys), "Accept": JSON, **headers}
    return Client().post(PATH, sent, content_type=JSON, headers=headers)


def call(keys, tool, arguments=None):
    return send(keys, message("tools/call", name=tool, arguments=arguments or {}))


def structured(response):
    return response.json()["result"]["structuredContent"]


def refusal(response):
    return response.status_code, response.json()["code"]


@pytest.mark.parametrize("header_of", [bearer_header, token_header])
def test_key_calls_every_tool_as_its_user(ada, header_of):
    keys = generate_keys(ada)

    tools = send(keys, message("tools/list"), header_of).json()["result"]["tools"]

    hints = {tool["name"]: tool["annotations"]["readOnlyHint"] for tool in tools}
    assert hints == {"whoami": True, "list_todos": True, "add_todo": False}
    assert structured(call(keys, "whoami")) == {"user": "ada"}
    assert structured(call(keys, "add_todo", WATER))["owner"] == "ada"
    (listed,) = structured(call(keys, "list_todos"))["todos"]
    assert listed["description"] == "Water"


def test_works_under_asgi(ada):
    headers = {"Authorization": bearer_header(generate_keys(ada)), "Accept": JSON}
    sent = message("tools/call", name="add_todo", arguments=WATER)

    async def post():
        return await AsyncClient().post(PATH, sent, content_type=JSON, headers=headers)

    assert structured(async_to_sync(post)())["owner"] == "ada"


def test_initialize_of_older_clients(ada):
    client = {"name": "an older client", "version": "1"}
    sent = message("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=client)

    answer = send(generate_keys(ada), sent).json()["result"]

    assert answer["protocolVersion"] == "2025-06-18"
    assert answer["serverInfo"]["name"] == "To-do list"


def test_tool_needs_its_scopes(ada):
    todos = generate_keys(ada, name="todos", scopes=["todos"])
    events = generate_keys(ada, name="events", scopes=["events"])

    assert structured(call(todos, "add_todo", WATER))["description"] == "Water"
    assert structured(call(events, "whoami")) == {"user": "ada"}
    assert send(events, message("tools/list")).status_code == 200
    for tool in ("list_todos", "add_todo"):
        refused = call(events, tool, WATER)
        assert refusal(refused) == (403, "insufficient_scope")
        challenge = refused["WWW-Authenticate"]
        assert challenge.startswith("Bearer ")
        assert 'error="insufficient_scope"' in challenge
        assert 'scope="todos"' in challenge
    assert ToDo.objects.count() == 1


@pytest.mark.parametrize("scopes", [[], ["todos"]])
def test_read_only_key_adds_nothing(ada, scopes):
    keys = generate_keys(ada, read_only=True, scopes=scopes)

    assert structured(call(keys, "list_todos")) == {"todos": []}
    assert structured(call(keys, "whoami")) == {"user": "ada"}
    assert refusal(call(keys, "add_todo", WATER)) == (403, "key_read_only")
    assert not ToDo.objects.exists()


def test_message_can_not_name_two_tools(ada):
    keys = generate_keys(ada, read_only=True, scopes=["events"])
    add = json.dumps(message("tools/call", name="add_todo", arguments=WATER))
    twice = add.replace('"name": "add_todo"', '"name": "add_todo", "name": "whoami"')
    headers = {
        "Mcp-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": "whoami",
    }

    assert structured(send(keys, twice)) == {"user": "ada"}
    assert refusal(send(keys, twice.replace("whoami", "add_todo"))) == (403, "key_read_only")
    assert refusal(send(keys, add, **headers)) == (403, "key_read_only")
    assert not ToDo.objects.exists()


@pytest.mark.parametrize("options", [{}, {"read_only": True}, {"scopes": ["events"]}])
@pytest.mark.parametrize("sent", ["[]", "1", "null", '"x"', "{", '{"method": "tools/call"}'])
def test_what_is_no_message_is_refused(ada, options, sent):
    assert send(generate_keys(ada, **options), sent).status_code == 400


@pytest.mark.parametrize("options", [{}, {"read_only": True}, {"scopes": ["events"]}])
def test_several_messages_at_once_are_refused(ada, options):
    sent = [message("tools/call", name="add_todo", arguments=WATER)]

    assert send(generate_keys(ada, **options), sent).status_code == 400
    assert not ToDo.objects.exists()


@pytest.mark.parametrize("name", ["delete_everything", ["add_todo"], None])
def test_unknown_tool(ada, name):
    keys = generate_keys(ada, scopes=["events"])

    assert "error" in send(keys, message("tools/call", name=name)).json()


def test_tool_says_what_is_wrong(ada, make_user):
    nobody = generate_keys(make_user("nobody"))

    for response, text in [
        (call(generate_keys(ada), "add_todo", {"date": "soon"}), "Date has wrong format"),
        (call(nobody, "add_todo", WATER), "nobody lacks the permission todos.add_todo"),
        (call(nobody, "list_todos"), "nobody lacks the permission todos.view_todo"),
    ]:
        result = response.json()["result"]
        assert result["isError"]
        assert text in result["content"][0]["text"]
    assert not ToDo.objects.exists()


@pytest.mark.parametrize("sent", ["{", "[]", '{"method": "tools/call"}', '"' + 65536 * "x" + '"'])
def test_unreadable_message_without_a_credential(db, sent):
    status = 400 if len(sent) > 65536 else 401

    assert Client().post(PATH, sent, content_type=JSON).status_code == status


def test_other_requests(ada):
    keys = generate_keys(ada)
    headers = {"Authorization": bearer_header(keys)}
    anonymous = Client().post(PATH, message("tools/list"), content_type=JSON)

    assert Client().get(PATH, headers=headers).status_code == 405
    assert anonymous.status_code == 401
    assert anonymous["WWW-Authenticate"].startswith("Bearer ")
    assert 'scope="todos"' in anonymous["WWW-Authenticate"]
    assert send(keys, message("tools/list"), basic_header).status_code == 401
