"""``frappe.client.*`` under ``api/method/``, and the same by ``cmd`` at ``/``."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from frappe_tokens.models import ApiKey
from testproject.todos.models import ToDo
from testproject.todos.permissions import RolePermissions
from testproject.todos.urls import CALLS
from testproject.todos.views import ToDoCalls, ToDoResource

from .conftest import assert_error, client_of

Call = Callable[..., Any]


def by_path(api, http_method, method, **values):
    return getattr(api, http_method)(f"/api/method/{method}", values)


def by_path_with_slash(api, http_method, method, **values):
    return getattr(api, http_method)(f"/api/method/{method}/", values)


def by_json(api, http_method, method, **values):
    if http_method == "get":
        return api.get(f"/api/method/{method}", values)
    return api.post(f"/api/method/{method}", values, format="json")


def by_cmd_in_query(api, http_method, method, **values):
    if http_method == "get":
        return api.get("/", {"cmd": method, **values})
    return api.post("/?cmd=" + method, values, format="json")


def by_cmd(api, http_method, method, **values):
    return getattr(api, http_method)("/", {"cmd": method, **values})


def by_cmd_in_json(api, http_method, method, **values):
    if http_method == "get":
        return api.get("/", {"cmd": method, **values})
    return api.post("/", {"cmd": method, **values}, format="json")


@pytest.fixture(
    params=[by_path, by_path_with_slash, by_json, by_cmd_in_query, by_cmd, by_cmd_in_json]
)
def call(request, api):
    """Calls a method by each of the ways in, with the key of a user who has every permission."""

    def made(http_method, method, **values):
        return request.param(api, http_method, method, **{"doctype": "ToDo", **values})

    return made


@pytest.mark.parametrize("http_method", ["get", "post"])
def test_lists_and_counts(call, todos, http_method):
    asked = {"filters": '{"owner": "worker"}', "fields": '["name"]', "order_by": "name"}
    assert call(http_method, "frappe.client.get_list", **asked).json() == {
        "message": [{"name": "a"}, {"name": "c"}]
    }
    assert call(http_method, "frappe.client.get_count", **asked).json() == {"message": 2}
    assert call(http_method, "frappe.client.get_count").json() == {"message": 3}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"fieldname": "status", "filters": '{"name": "b"}'}, {"status": "Closed"}),
        ({"fieldname": '"status"', "filters": '[["name", "=", "b"]]'}, {"status": "Closed"}),
        (
            {"fieldname": '["status", "owner"]', "filters": "b"},
            {"status": "Closed", "owner": "boss"},
        ),
        ({"fieldname": "status", "filters": '"b"'}, {"status": "Closed"}),
        ({"fieldname": "status", "filters": "null"}, {"status": "Cancelled"}),
        ({"fieldname": "status", "filters": ""}, {"status": "Cancelled"}),
        ({"fieldname": "[]"}, {"name": "c"}),
        ({"fieldname": "status", "filters": "nobody"}, {}),
        ({"fieldname": "status", "filters": "b", "as_dict": "false"}, "Closed"),
        ({"fieldname": '["status", "name"]', "filters": "b", "as_dict": "0"}, ["Closed", "b"]),
        ({"fieldname": "status", "filters": "nobody", "as_dict": "false"}, None),
    ],
)
def test_gives_a_value(call, todos, asked, expected):
    todos[2].save()  # now the latest, whatever the clock's resolution
    assert call("get", "frappe.client.get_value", **asked).json() == {"message": expected}


def test_gives_a_document(call, todo):
    document = call("get", "frappe.client.get", name=todo.name).json()["message"]
    assert (document["doctype"], document["name"]) == ("ToDo", todo.name)


def test_sets_a_value(call, todo):
    asked = {"name": todo.name, "fieldname": "status", "value": "Closed"}
    answer = call("post", "frappe.client.set_value", **asked)
    todo.refresh_from_db()
    assert answer.json()["message"]["status"] == todo.status == "Closed"


def test_sets_several_values(call, todo):
    fieldname = json.dumps({"status": "Closed", "priority": "Low"})
    assert call("post", "frappe.client.set_value", name=todo.name, fieldname=fieldname).status_code
    todo.refresh_from_db()
    assert (todo.status, todo.priority) == ("Closed", "Low")


def test_inserts(call, worker):
    doc = json.dumps({"doctype": "ToDo", "description": "Call"})
    document = call("post", "frappe.client.insert", doc=doc).json()["message"]
    assert ToDo.objects.get(name=document["name"], owner=worker).description == "Call"


def test_deletes(call, todo):
    answer = call("post", "frappe.client.delete", name=todo.name)
    assert (answer.status_code, answer.json()) == (200, {"message": "ok"})
    assert not ToDo.objects.exists()


def test_refuses_the_same_as_the_resource(call, todo):
    for method, values, sentence in [
        ("get_list", {"fields": '["owner__password"]'}, "A ToDo has no field"),
        ("get_list", {"order_by": "owner__password"}, "A ToDo has no field"),
        ("get_count", {"filters": '{"owner__password": "x"}'}, "A ToDo has no field"),
        ("get_count", {"filters": "{"}, "filters is not valid JSON."),
        ("get_value", {"fieldname": "owner__password"}, "A ToDo has no field"),
        ("get_value", {"fieldname": '{"a": 1}'}, "Give fields as a list"),
        ("get_value", {"fieldname": "name", "filters": "{"}, "filters is not valid JSON."),
        ("get_value", {"fieldname": "name", "filters": "\0"}, "cannot be stored"),
        ("set_value", {"name": todo.name, "fieldname": "owner"}, "'owner' cannot be set"),
        ("set_value", {"name": todo.name, "fieldname": "password"}, "cannot be set"),
        ("set_value", {"name": todo.name, "fieldname": '{"pk": 1}'}, "cannot be set"),
        ("set_value", {"name": todo.name, "fieldname": '["status"]'}, "must be a string"),
        ("set_value", {"name": todo.name}, "fieldname must be a string"),
        ("set_value", {"name": todo.name, "fieldname": "status", "value": "?"}, "valid choice"),
        ("set_value", {"fieldname": "status", "value": "Closed"}, "name must be a string"),
        ("insert", {"doc": "{"}, "doc is not valid JSON."),
        ("insert", {}, "Give doc as an object."),
        ("insert", {"doc": '{"doctype": "ToDo"}'}, "This field is required."),
        ("insert", {"doc": '{"description": "a"}'}, "Name the DocType"),
        ("delete", {}, "name must be a string"),
    ]:
        answer = call("post", f"frappe.client.{method}", **values)
        assert_error(answer, 417, "ValidationError", sentence)
    todo.refresh_from_db()
    assert todo.status == "Open"


def test_takes_only_texts_for_the_order(api, todo):
    answer = by_json(api, "post", "frappe.client.get_list", doctype="ToDo", order_by=["name"])
    assert_error(answer, 417, "ValidationError", "Give order_by as a string")


def test_tells_of_what_there_is_not(call, todo):
    for method, values in [
        ("frappe.client.delete", {"name": "nobody"}),
        ("frappe.client.delete", {"name": todo.name, "doctype": "User"}),
        ("frappe.client.get_list", {"doctype": "User"}),
        ("frappe.client.insert", {"doc": '{"doctype": "User"}'}),
        ("frappe.client.rename_doc", {}),
        ("login", {}),
        ("", {}),
    ]:
        assert_error(call("post", method, **values), 404, "DoesNotExistError")
    assert ToDo.objects.exists()


def test_needs_a_doctype(call, todo):
    answer = call("post", "frappe.client.get_count", doctype="")
    assert_error(answer, 417, "ValidationError", "Name the DocType")


@pytest.mark.parametrize("method", ["insert", "set_value", "delete"])
def test_changes_nothing_by_get(call, todo, method):
    answer = call("get", f"frappe.client.{method}", name=todo.name, doc="{}")
    assert_error(answer, 405, "PermissionError")
    assert ToDo.objects.exists()


@pytest.mark.parametrize(
    ("permission", "allowed"),
    [
        ("view_todo", {"get_list", "get_count", "get_value", "get"}),
        ("add_todo", {"insert"}),
        ("change_todo", {"set_value"}),
        ("delete_todo", {"delete"}),
    ],
)
@pytest.mark.parametrize("way", [by_path, by_cmd])
def test_each_permission_of_the_user_opens_its_own_calls(make_user, todo, way, permission, allowed):
    client = client_of(make_user("clerk", permissions=(f"todos.{permission}",)))
    asked = {
        "doctype": "ToDo",
        "name": todo.name,
        "fieldname": "status",
        "value": "Closed",
        "doc": '{"doctype": "ToDo", "description": "a"}',
    }
    answers = {
        name: way(client, "post", f"frappe.client.{name}", **asked)
        for name in ("get_list", "get_count", "get_value", "get", "insert", "set_value", "delete")
    }
    assert {name for name, answer in answers.items() if answer.status_code < 300} == allowed
    for name in answers.keys() - allowed:
        assert_error(answers[name], 403, "PermissionError", "clerk lacks the permission todos.")


def test_every_action_has_its_permission():
    routed = {
        action
        for view in [*CALLS.values(), ToDoResource.as_view({"get": "list"})]
        for action in getattr(view, "actions", {}).values()
    }
    assert routed <= RolePermissions.perms_map.keys()
    # A method of a view set by one of these names would answer that HTTP method unasked.
    assert not any(hasattr(ToDoCalls, verb) for verb in ("get", "post", "put", "patch", "delete"))


def test_a_session_needs_its_csrf_token_by_every_way(worker, todo):
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(worker)
    for way in (by_path, by_cmd, by_cmd_in_query):
        answer = way(browser, "post", "frappe.client.delete", doctype="ToDo", name=todo.name)
        assert_error(answer, 403, "PermissionError", "CSRF")
        assert way(browser, "get", "frappe.auth.get_logged_user").json() == {"message": "worker"}
    assert ToDo.objects.exists()


@pytest.mark.parametrize("way", [by_path, by_cmd, by_cmd_in_query, by_cmd_in_json])
def test_the_packages_own_calls_can_be_made_by_cmd(system_manager, user, way):
    manager = client_of(system_manager)
    made = way(manager, "post", "frappe.core.doctype.user.user.generate_keys", user="ada")
    assert made.json()["message"]["api_key"] == ApiKey.objects.get(user=user).api_key
    assert "no-store" in made["Cache-Control"]
    answer = way(manager, "get", "frappe.auth.get_logged_user")
    assert answer.json() == {"message": "manager"}


def test_a_wrong_secret_is_refused_by_every_way(db):
    stranger = APIClient(HTTP_AUTHORIZATION="token a:b")
    for way in (by_path, by_cmd):
        for method in ("frappe.client.get_count", "frappe.auth.get_logged_user", "nothing"):
            assert_error(way(stranger, "get", method), 401, "AuthenticationError")


def test_login_is_unknown_to_anonymous_clients_too(db):
    answer = by_cmd(APIClient(), "post", "login", usr="ada", pwd="x")
    assert_error(answer, 404, "DoesNotExistError")


@pytest.mark.parametrize("http_method", ["get", "post"])
@pytest.mark.parametrize("way", [by_path, by_cmd, by_json])
def test_logout_ends_nothing(worker, way, http_method):
    for client in (APIClient(), client_of(worker)):
        answer = way(client, http_method, "logout")
        assert (answer.status_code, answer.json()) == (200, {"message": {}})
    assert by_path(client, "get", "frappe.auth.get_logged_user").status_code == 200


def test_a_visitor_with_a_browser_finds_the_admin(client):
    assert client.get("/")["Location"] == "/admin/"


@pytest.mark.parametrize("body", ["", "{", "[]", "[" * 100_000, '{"cmd": ["a"]}', '{"cmd": null}'])
def test_tells_a_post_without_a_command_that_there_is_no_such_method(db, body):
    answer = APIClient().post("/", body, content_type="application/json")
    assert_error(answer, 404, "DoesNotExistError")


def test_tells_a_form_without_a_command_that_there_is_no_such_method(db):
    answer = APIClient().post("/", b"--x", content_type="multipart/form-data; boundary=x")
    assert_error(answer, 404, "DoesNotExistError")
