"""``frappe.client.*`` under ``api/method/``, and by ``cmd`` at ``/``."""

import json

import pytest
from rest_framework.test import APIClient

from frappe_tokens.models import ApiKey
from testproject.todos.models import ToDo
from testproject.todos.permissions import RolePermissions
from testproject.todos.urls import CALLS
from testproject.todos.views import ToDoCalls, ToDoResource

from .conftest import assert_error, assert_only_allowed, client_of, permission_needed


def by_path(api, http_method, method, **values):
    return getattr(api, http_method)(f"/api/method/{method}", values)


def by_json(api, http_method, method, **values):
    options = {} if http_method == "get" else {"format": "json"}
    return getattr(api, http_method)(f"/api/method/{method}/", values, **options)


def by_cmd(api, http_method, method, **values):
    return getattr(api, http_method)("/", {"cmd": method, **values})


def by_cmd_in_query(api, _http_method, method, **values):
    return api.post(f"/?cmd={method}", values, format="json")


def by_cmd_in_json(api, _http_method, method, **values):
    return api.post("/", {"cmd": method, **values}, format="json")


WAYS = [by_path, by_json, by_cmd, by_cmd_in_query, by_cmd_in_json]


@pytest.fixture
def call(api):
    """Call a method with the key of a user who has every permission."""

    def make_call(http_method, method, way=by_path, **values):
        return way(api, http_method, method, **{"doctype": "ToDo", **values})

    return make_call


@pytest.mark.parametrize("http_method", ["get", "post"])
@pytest.mark.parametrize("way", WAYS)
def test_list_and_count(call, todos, way, http_method):
    params = {"filters": '{"owner": "worker"}', "fields": '["name"]', "order_by": "name"}

    rows = call(http_method, "frappe.client.get_list", way, **params)
    count = call(http_method, "frappe.client.get_count", way, **params)

    assert rows.json() == {"message": [{"name": "a"}, {"name": "c"}]}
    assert count.json() == {"message": 2}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"fieldname": "status", "filters": '{"name": "b"}'}, {"status": "Closed"}),
        ({"fieldname": '"status"', "filters": '[["name", "=", "b"]]'}, {"status": "Closed"}),
        ({"fieldname": '["status"]', "filters": "b"}, {"status": "Closed"}),
        ({"fieldname": "status", "filters": '"b"'}, {"status": "Closed"}),
        ({"fieldname": "status", "filters": "null"}, {"status": "Cancelled"}),
        ({"fieldname": "status", "filters": ""}, {"status": "Cancelled"}),
        ({"fieldname": "[]"}, {"name": "c"}),
        ({"fieldname": "status", "filters": "unknown"}, {}),
        ({"fieldname": "status", "filters": "b", "as_dict": "false"}, "Closed"),
        ({"fieldname": '["status", "name"]', "filters": "b", "as_dict": "0"}, ["Closed", "b"]),
        ({"fieldname": "status", "filters": "unknown", "as_dict": "false"}, None),
    ],
)
def test_value(call, todos, params, expected):
    todos[2].save()  # the latest, whatever the clock's resolution

    response = call("get", "frappe.client.get_value", **params)

    assert response.json() == {"message": expected}


def test_get_set_insert_and_delete(call, todo, worker):
    document = call("get", "frappe.client.get", name=todo.name).json()["message"]
    assert (document["doctype"], document["name"]) == ("ToDo", todo.name)

    params = {"name": todo.name, "fieldname": "status", "value": "Closed"}
    assert call("post", "frappe.client.set_value", **params).json()["message"]["status"] == "Closed"
    fieldname = json.dumps({"date": "2026-01-31", "priority": "Low"})
    call("post", "frappe.client.set_value", name=todo.name, fieldname=fieldname)
    todo.refresh_from_db()
    assert (todo.status, str(todo.date), todo.priority) == ("Closed", "2026-01-31", "Low")

    response = call("post", "frappe.client.delete", name=todo.name)
    assert (response.status_code, response.json()) == (200, {"message": "ok"})
    assert not ToDo.objects.exists()

    doc = json.dumps({"doctype": "ToDo", "description": "Call"})
    document = call("post", "frappe.client.insert", doc=doc).json()["message"]
    assert ToDo.objects.get(name=document["name"], owner=worker).description == "Call"


@pytest.mark.parametrize(
    ("method", "params", "sentence"),
    [
        ("get_list", {"fields": '["owner__password"]'}, "A ToDo has no field"),
        ("get_count", {"filters": '{"owner__password": "x"}'}, "A ToDo has no field"),
        ("get_count", {"doctype": ""}, "Name the DocType"),
        ("get_value", {"fieldname": "owner__password"}, "A ToDo has no field"),
        ("get_value", {"fieldname": '{"a": 1}'}, "Send fields as a list"),
        ("get_value", {"fieldname": "name", "filters": "\0"}, "cannot be stored"),
        ("set_value", {"fieldname": "owner"}, "'owner' cannot be set"),
        ("set_value", {"fieldname": '{"pk": 1}'}, "cannot be set"),
        ("set_value", {"fieldname": '["status"]'}, "must be a string"),
        ("set_value", {}, "fieldname must be a string"),
        ("set_value", {"fieldname": "status", "value": "?"}, "valid choice"),
        ("set_value", {"name": "[]", "fieldname": "status"}, "not found"),
        ("insert", {"doc": "{"}, "doc is not valid JSON."),
        ("insert", {}, "Send doc as an object."),
        ("insert", {"doc": '{"doctype": "ToDo"}'}, "This field is required."),
        ("insert", {"doc": '{"description": "a"}'}, "Name the DocType"),
        ("get_list", {"order_by": ["name"]}, "Send order_by as a string"),
        ("delete", {"name": None}, "name must be a string"),
    ],
)
def test_unusable_values_are_refused(call, todo, method, params, sentence):
    params = {"name": todo.name, **params}

    response = call("post", f"frappe.client.{method}", by_json, **params)

    is_missing = sentence == "not found"
    status, exc_type = (404, "DoesNotExistError") if is_missing else (417, "ValidationError")
    assert_error(response, status, exc_type, sentence)
    todo.refresh_from_db()
    assert todo.status == "Open"


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("frappe.client.delete", {"name": "unknown"}),
        ("frappe.client.delete", {"doctype": "User"}),
        ("frappe.client.get_list", {"doctype": "User"}),
        ("frappe.client.insert", {"doc": '{"doctype": "User"}'}),
        ("frappe.client.rename_doc", {}),
        ("login", {}),
        ("", {}),
    ],
)
def test_unknown_objects_and_methods_are_404(call, todo, method, params):
    response = call("post", method, **{"name": todo.name, **params})

    assert_error(response, 404, "DoesNotExistError")
    assert ToDo.objects.exists()


def test_get_changes_nothing(call, todo):
    for method in ("insert", "set_value", "delete"):
        response = call("get", f"frappe.client.{method}", name=todo.name, doc="{}")
        assert_error(response, 405, "PermissionError")
    assert ToDo.objects.get() == todo


@permission_needed(
    view={"get_list", "get_count", "get_value", "get"},
    add={"insert"},
    change={"set_value"},
    delete={"delete"},
)
@pytest.mark.parametrize("way", [by_path, by_cmd])
def test_each_call_needs_its_permission(make_user, todo, way, permission, allowed):
    client = client_of(make_user("clerk", permissions=(permission,)))
    params = {"name": todo.name, "fieldname": "status", "value": "Closed"}
    doc = '{"doctype": "ToDo", "description": "a"}'

    responses = {
        name: way(client, "post", f"frappe.client.{name}", doctype="ToDo", doc=doc, **params)
        for name in ("get_list", "get_count", "get_value", "get", "insert", "set_value", "delete")
    }

    assert_only_allowed(responses, allowed)


def test_every_action_has_a_permission():
    views = [*CALLS.values(), ToDoResource.as_view({"get": "list"})]
    routed = {action for view in views for action in getattr(view, "actions", {}).values()}

    assert routed <= RolePermissions.perms_map.keys()
    # A method of one of these names would also answer that HTTP method.
    assert not any(hasattr(ToDoCalls, verb) for verb in ("get", "post", "put", "patch", "delete"))


@pytest.mark.parametrize("way", WAYS)
def test_calls_of_the_package(system_manager, user, way):
    manager = client_of(system_manager)

    method = "frappe.core.doctype.user.user.generate_keys"
    response = way(manager, "post", method, user="ada")

    assert response.json()["message"]["api_key"] == ApiKey.objects.get(user=user).api_key
    assert "no-store" in response["Cache-Control"]
    response = way(manager, "get", "frappe.auth.get_logged_user")
    assert response.json() == {"message": "manager"}


@pytest.mark.parametrize("way", [by_path, by_cmd])
def test_wrong_secret_is_refused(db, way):
    client = APIClient(HTTP_AUTHORIZATION="token a:b")

    for method in ("frappe.client.get_count", "nothing"):
        assert_error(way(client, "get", method), 401, "AuthenticationError")


@pytest.mark.parametrize("way", [by_path, by_cmd, by_json])
def test_logout_does_nothing(worker, way):
    for client in (APIClient(), client_of(worker)):
        for http_method in ("get", "post"):
            response = way(client, http_method, "logout")
            assert (response.status_code, response.json()) == (200, {"message": {}})

    assert by_path(client, "get", "frappe.auth.get_logged_user").status_code == 200


def test_browsers_are_redirected_to_the_admin(client):
    assert client.get("/")["Location"] == "/admin/"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        *((body, "application/json") for body in ("", "{", "[]", "[" * 100_000)),
        *((body, "application/json") for body in ('{"cmd": ["a"]}', '{"cmd": null}')),
        ('{"cmd": "login", "usr": "ada", "pwd": "x"}', "application/json"),
        ("--x", "multipart/form-data; boundary=x"),
    ],
    ids=range(8),
)
def test_missing_or_unknown_command_is_404(db, body, content_type):
    response = APIClient().post("/", body, content_type=content_type)

    assert_error(response, 404, "DoesNotExistError")
