"""The unmodified frappe-client (Python) and frappe-js-sdk work against the example project."""

import json
import subprocess

import pytest
from frappeclient import FrappeClient
from frappeclient.frappeclient import AuthError, FrappeException

from frappe_tokens.keys import generate_keys
from testproject.todos.models import ToDo

from ..conftest import PASSWORD


@pytest.fixture
def connect(live_server):
    """Connect clients, and close their connections, which they don't do themselves."""
    clients = []

    def connect_client(api_key="", api_secret=""):
        clients.append(FrappeClient(live_server.url, api_key=api_key, api_secret=api_secret))
        return clients[-1]

    yield connect_client
    for client in clients:
        client.session.close()


@pytest.fixture
def client_(connect, worker_keys):
    return connect(worker_keys.api_key, worker_keys.api_secret)


def test_every_call_of_the_python_client(client_):
    assert client_.get_api("frappe.auth.get_logged_user") == "worker"
    assert client_.post_api("frappe.auth.get_logged_user") == "worker"

    inserted = client_.insert({"doctype": "ToDo", "description": "Water", "date": "2026-01-31"})
    client_.insert({"doctype": "ToDo", "description": "Weed"})
    name = inserted["name"]
    assert client_.get_doc("ToDo", name) == inserted
    assert client_.get_doc("ToDo", filters={"description": "Water"}) == [{"name": name}]

    updated = client_.update({**inserted, "status": "Closed"})
    assert (updated["status"], updated["date"]) == ("Closed", "2026-01-31")

    rows = client_.get_list("ToDo", order_by="description desc")
    assert [row["description"] for row in rows] == ["Weed", "Water"]
    page = {"limit_start": 0, "limit_page_length": 5}
    filters = {"status": ["!=", "Open"]}
    assert client_.get_list("ToDo", fields=["name"], filters=filters, **page) == [{"name": name}]

    assert client_.get_value("ToDo", "status", {"name": name}) == {"status": "Closed"}
    assert client_.get_value("ToDo", ["status", "date"], name) == {
        "status": "Closed",
        "date": "2026-01-31",
    }
    assert client_.get_value("ToDo").keys() == {"name"}
    assert client_.set_value("ToDo", name, "status", "Open")["status"] == "Open"
    with client_:
        pass
    client_.delete("ToDo", name)
    assert [todo.description for todo in ToDo.objects.all()] == ["Weed"]


def test_generates_keys(connect, system_manager, user):
    manager = generate_keys(system_manager)
    client = connect(manager.api_key, manager.api_secret)
    method = "frappe.core.doctype.user.user.generate_keys"
    by_path = client.get_api(method, {"user": "ada"})
    by_cmd = client.post_request({"cmd": method, "user": "ada"})
    assert by_path["api_key"] == by_cmd["api_key"]
    again = connect(by_cmd["api_key"], by_cmd["api_secret"])
    assert again.get_api("frappe.auth.get_logged_user") == "ada"


def test_errors_raise(client_, connect, worker_keys, make_user):
    viewer = generate_keys(make_user("viewer", permissions=("todos.view_todo",)))
    viewing = connect(viewer.api_key, viewer.api_secret)
    stranger = connect(worker_keys.api_key, "wrong")
    weed = {"doctype": "ToDo", "description": "Weed"}

    assert viewing.get_list("ToDo") == []
    for error, call in [
        ("DoesNotExistError: ToDo nobody not found", lambda: client_.delete("ToDo", "nobody")),
        ("DoesNotExistError", lambda: client_.rename_doc("ToDo", "a", "b")),
        ("ValidationError: A ToDo has no", lambda: client_.get_list("ToDo", fields=["owner__id"])),
        ("PermissionError: viewer lacks .*add_todo", lambda: viewing.insert(weed)),
        ("AuthenticationError", lambda: stranger.get_list("ToDo")),
        ("AuthenticationError", lambda: stranger.insert(weed)),
    ]:
        with pytest.raises(FrappeException, match=error):
            call()


def test_password_login_raises(live_server, user):
    with pytest.raises(AuthError):
        FrappeClient(live_server.url, "ada", PASSWORD)


@pytest.mark.node
def test_every_call_of_the_js_sdk(sdk, live_server, worker_keys, make_user):
    viewer = generate_keys(make_user("viewer", permissions=("todos.view_todo",)))
    done = subprocess.run(
        ["node", "round.mjs", live_server.url, "token", worker_keys.token, viewer.token],
        cwd=sdk,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)

    created = results["created"]
    assert results["user"] == created["owner"] == "worker"
    assert (created["doctype"], created["priority"]) == ("ToDo", "High")
    assert results["document"] == created
    assert [row.keys() for row in results["names"]] == [{"name"}] * 3
    assert results["list"] == [{"description": "Weed", "priority": "High"}]
    assert results["next"] == [["Water"], ["Wait"]]
    assert results["either"] == [{"description": "Wait"}, {"description": "Weed"}]
    assert (results["updated"]["status"], results["updated"]["description"]) == ("Closed", "Water")
    assert (results["count"], results["open"]) == (3, 2)
    assert results["last"]["description"] == "Wait"
    assert results["value"] == {"message": {"status": "Closed", "owner": "worker"}}
    assert results["set"]["message"]["priority"] == "Low"
    assert results["setSeveral"]["message"]["status"] == "Open"
    assert results["called"] == {"message": "worker"}
    assert results["deleted"]["message"] == "ok"
    assert results["viewed"] == ToDo.objects.count() == 2

    for call, status, exc_type in [
        ("missing", 404, "DoesNotExistError"),
        ("noDocType", 404, "DoesNotExistError"),
        ("invalid", 417, "ValidationError"),
        ("wrongSecret", 401, "AuthenticationError"),
        ("missingPermission", 403, "PermissionError"),
    ]:
        assert (results[call]["httpStatus"], results[call]["exc_type"]) == (status, exc_type)
        assert results[call]["exception"].startswith(f"frappe.exceptions.{exc_type}: ")
