"""``api/v2/``: the same documents and calls in the envelopes of Frappe's REST API v2."""

import json

import pytest
from django.contrib.auth.models import Group, Permission
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from testproject.todos.models import ToDo

from .conftest import LIST, client_of, permission_needed

DOCUMENTS = "/api/v2/document/ToDo"
META = "/api/v2/doctype/ToDo/meta"
COUNT = "/api/v2/doctype/ToDo/count"


def url(todo):
    return f"{DOCUMENTS}/{todo.name}/"


def assert_error(response, status, error_type, sentence, code):
    shown = {"message": sentence, "title": "Message", "indicator": "red"}
    expected = {"errors": [{"type": error_type, **shown}], "code": code}
    assert (response.status_code, response.json()) == (status, expected)


@pytest.mark.parametrize("slash", ["", "/"])
def test_documents_are_those_of_the_first_version(api, todo, slash):
    document = api.get(f"{LIST}/{todo.name}").json()["data"]

    assert api.get(f"{DOCUMENTS}/{todo.name}{slash}").json() == {"data": document}
    assert api.get(DOCUMENTS + slash).json() == {
        "data": [{"name": todo.name}],
        "has_next_page": False,
    }


@pytest.mark.parametrize(
    ("query", "expected", "has_next_page"),
    [
        ({}, "abc", False),
        ({"limit": 2}, "ab", True),
        ({"limit": 3}, "abc", False),
        ({"start": 1, "limit": 1}, "b", True),
        ({"start": 2, "limit": 1}, "c", False),
        ({"start": 3}, "", False),
        ({"filters": '{"owner": "worker"}', "limit": 1}, "a", True),
        ({"filters": '[["status", "!=", "Open"]]', "order_by": "name desc"}, "cb", False),
    ],
)
def test_pages(api, todos, query, expected, has_next_page):
    response = api.get(DOCUMENTS, {"order_by": "name", "as_dict": "false", **query})

    assert response.json() == {
        "data": [[name] for name in expected],
        "has_next_page": has_next_page,
    }


def test_create_update_and_delete(api, worker):
    created = api.post(DOCUMENTS, {"description": "Call"}, format="json").json()["data"]
    todo = ToDo.objects.get(name=created["name"], owner=worker)

    for method, priority in ((api.patch, "High"), (api.put, "Low")):
        updated = method(url(todo), {"priority": priority}, format="json")
        assert (updated.status_code, updated.json()["data"]["priority"]) == (200, priority)

    deleted = api.delete(url(todo))
    assert (deleted.status_code, deleted.json()) == (202, {"data": "ok"})
    assert not ToDo.objects.exists()


def test_calls(api, todo):
    call = "/api/v2/method/frappe.client."
    values = {"doctype": "ToDo", "name": todo.name, "fieldname": "status", "value": "Closed"}

    assert api.get(f"{call}get_list", values).json() == {"data": [{"name": todo.name}]}
    assert api.post(f"{call}set_value/", values).json()["data"]["status"] == "Closed"
    assert api.post(f"{call}get_value", values).json() == {"data": {"status": "Closed"}}
    assert api.post(f"{call}delete", values).json() == {"data": "ok"}
    assert api.post("/api/v2/method/logout").json() == {"data": {}}


def test_count(api, todos):
    assert api.get(COUNT).json() == {"data": 3}
    open_or_low = json.dumps([["status", "=", "Open"], ["priority", "=", "Low"]])
    assert api.get(COUNT + "/", {"or_filters": open_or_low}).json() == {"data": 2}
    assert api.get(COUNT, {"filters": '{"owner": "boss"}'}).json() == {"data": 1}


def test_doctype(api):
    editor = Group.objects.create(name="Editor")
    editor.permissions.set(
        Permission.objects.filter(codename__in=["view_todo", "change_todo", "view_event"])
    )
    Group.objects.create(name="Other").permissions.set(
        Permission.objects.filter(codename="view_event")
    )

    meta = api.get(META).json()["data"]

    assert (meta["name"], meta["module"], meta["is_submittable"]) == ("ToDo", "Todos", 0)
    assert meta["permissions"] == [{"role": "Editor", "permlevel": 0, "read": 1, "write": 1}]
    fields = {field["fieldname"]: field for field in meta["fields"]}
    assert {name: field["fieldtype"] for name, field in fields.items()} == {
        "description": "Text",
        "status": "Select",
        "priority": "Select",
        "date": "Date",
    }
    assert fields["status"] == {
        "fieldname": "status",
        "label": "Status",
        "fieldtype": "Select",
        "options": "Open\nClosed\nCancelled",
        "reqd": 0,
        "in_list_view": 1,
    }
    assert [name for name, field in fields.items() if field["reqd"]] == [meta["title_field"]]


def test_errors(api, todo, worker):
    missing = "ToDo nobody not found."
    assert_error(api.get(f"{DOCUMENTS}/nobody/"), 404, "DoesNotExistError", missing, "not_found")
    required = "description: This field is required."
    assert_error(api.post(DOCUMENTS, {}), 417, "ValidationError", required, "invalid")
    stale = api.patch(url(todo), {"modified": "2000-01-01 00:00:00.000000", "status": "Closed"})
    assert "Please refresh to get the latest document." in stale.json()["errors"][0]["message"]
    assert stale.status_code == 417
    unscoped = client_of(worker, scopes=["other"]).get(META)
    assert (unscoped.status_code, unscoped.json()["code"]) == (403, "insufficient_scope")
    assert APIClient().get(COUNT).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        *("/api/v2/", "/api/v2/nothing", "/api/v2/discovery", "/api/v2/document/User"),
        *("/api/v2/doctype/User/meta", "/api/v2/document/ToDo/a/method/submit/"),
        *("/api/v2/method/frappe.client.rename_doc", "/api/v2/resource/ToDo"),
    ],
)
def test_unknown_addresses_are_404(api, path):
    sentence = "There is no such address, method or DocType."
    for ask in (api.get, api.put, APIClient().post):
        assert_error(ask(path), 404, "DoesNotExistError", sentence, "not_found")


@permission_needed(
    view={"list", "retrieve", "meta", "count"},
    add={"create"},
    change={"update"},
    delete={"destroy"},
)
def test_each_action_needs_its_permission(make_user, todo, permission, allowed):
    client = client_of(make_user("clerk", permissions=(permission,)))

    responses = {
        "list": client.get(DOCUMENTS),
        "retrieve": client.get(url(todo)),
        "meta": client.get(META),
        "count": client.get(COUNT),
        "create": client.post(DOCUMENTS, {"description": "a"}, format="json"),
        "update": client.patch(url(todo), {"status": "Closed"}, format="json"),
        "destroy": client.delete(url(todo)),
    }

    assert {name for name, response in responses.items() if response.status_code < 300} == allowed
    refusals = [responses[name] for name in responses.keys() - allowed]
    assert {response.status_code for response in refusals} == {403}
    for response in refusals:
        sentence = response.json()["errors"][0]["message"]
        assert sentence.startswith("clerk lacks the permission todos.")


def test_schema_has_each_view_once():
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]

    assert {"/api/resource/ToDo/", "/api/method/frappe.client.get_list/"} <= paths.keys()
    assert not [path for path in paths if path.startswith(("/api/v1", "/api/v2"))]
