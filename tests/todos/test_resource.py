"""``api/resource/ToDo``: documents in Frappe's envelope."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from testproject.todos.models import ToDo

from .conftest import LIST, assert_error, assert_only_allowed, client_of, permission_needed


def url(todo):
    return f"{LIST}/{todo.name}"


@pytest.mark.parametrize("slash", ["", "/"])
def test_whole_document(api, todo, slash):
    assert api.get(LIST + slash).json() == {"data": [{"name": todo.name}]}
    assert api.get(url(todo) + slash).json()["data"] == {
        "doctype": "ToDo",
        "name": todo.name,
        "owner": "worker",
        "creation": todo.creation.strftime("%Y-%m-%d %H:%M:%S.%f"),
        "modified": todo.modified.strftime("%Y-%m-%d %H:%M:%S.%f"),
        "description": "Water the plants",
        "status": "Open",
        "priority": "Medium",
        "date": None,
        "docstatus": 0,
        "idx": 0,
    }


CALL = {"description": "Call", "priority": "High"}


@pytest.mark.parametrize(
    ("body", "options"),
    [
        (CALL, {"format": "json"}),
        ({"data": CALL}, {"format": "json"}),
        ({"data": json.dumps(CALL)}, {"format": "multipart"}),
        ({**CALL, "date": ""}, {"format": "multipart"}),
        (
            "description=Call&priority=High&date=",
            {"content_type": "application/x-www-form-urlencoded"},
        ),
    ],
)
def test_create_by_json_and_forms(api, worker, body, options):
    response = api.post(LIST, body, **options)

    assert response.status_code == 200
    todo = ToDo.objects.get()
    assert response.json()["data"]["name"] == todo.name
    assert (todo.description, todo.priority, todo.owner) == ("Call", "High", worker)


@pytest.mark.parametrize("method", ["put", "patch"])
def test_update_changes_only_what_is_sent(api, todo, user, method):
    body = {"status": "Closed", "date": "2026-03-01"}
    ignored = {"name": "mine", "owner": "ada", "creation": "2000-01-01", "docstatus": 1}

    response = getattr(api, method)(url(todo), {**body, **ignored}, format="json")

    assert response.status_code == 200
    assert response.json()["data"] == api.get(url(todo)).json()["data"]
    owner, creation = todo.owner, todo.creation
    todo.refresh_from_db()
    assert (todo.status, str(todo.date)) == ("Closed", "2026-03-01")
    assert todo.description == "Water the plants"
    assert (todo.owner, todo.creation) == (owner, creation)


def test_update_of_an_outdated_document_is_refused(api, todo):
    read = api.get(url(todo)).json()["data"]

    first = api.put(url(todo), {**read, "status": "Closed"}, format="json")
    second = api.put(url(todo), {**read, "status": "Cancelled"}, format="json")

    assert (first.status_code, first.json()["data"]["status"]) == (200, "Closed")
    assert_error(second, 417, "ValidationError", "has been modified after you have opened it")
    todo.refresh_from_db()
    assert todo.status == "Closed"


def test_delete(api, todo):
    response = api.delete(url(todo))

    assert (response.status_code, response.json()) == (202, {"data": "ok", "message": "ok"})
    assert not ToDo.objects.exists()


OBJECT = "Send the fields and their values as an object."


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "description: This field is required."),
        ({"description": ""}, "description: This field may not be blank."),
        ({"description": "a\0b"}, "Null characters"),
        ({"description": "\ud800"}, "Surrogate characters"),
        ({"description": ["a"]}, "Not a valid string"),
        ({"description": "a", "status": "Done"}, "is not a valid choice"),
        ({"description": "a", "priority": {"a": 1}}, "is not a valid choice"),
        ({"description": "a", "date": "2026-02-30"}, "date: "),
        ({"data": "{"}, "data is not valid JSON."),
        ({"data": "[" * 100_000}, "data is not valid JSON."),
        ({"data": [1]}, OBJECT),
        (["description"], OBJECT),
        (b"{", "JSON parse error"),
        (b"[" * 100_000, "The JSON body is nested too deeply."),
    ],
    ids=lambda value: str(value)[:20],
)
def test_unusable_body_is_refused(api, body, sentence):
    content = body if isinstance(body, bytes) else json.dumps(body)  # escapes lone surrogates

    response = api.post(LIST, content, content_type="application/json")

    assert_error(response, 417, "ValidationError", sentence)
    assert not ToDo.objects.exists()


def test_file_is_refused(api):
    for name in ("description", "data"):
        body = {name: SimpleUploadedFile("a.txt", b"a")}
        assert_error(api.post(LIST, body, format="multipart"), 417, "ValidationError")


def test_missing_and_impossible_names_are_refused(api):
    for ask in (api.get, api.put, api.delete):
        response = ask(f"{LIST}/unknown")
        assert_error(response, 404, "DoesNotExistError", "ToDo unknown not found.")
    for name, sentence in (("a%00b", "cannot be stored"), ("a" * 41, "at most 40 characters")):
        assert_error(api.get(f"{LIST}/{name}"), 417, "ValidationError", sentence)


def test_other_methods_are_405(api, todo):
    for response in (api.post(url(todo)), api.delete(LIST), api.options(LIST)):
        assert_error(response, 405, "PermissionError")


@pytest.mark.parametrize(
    "path",
    [
        *("/api/resource/User", "/api/resource/User/a", "/api/method/frappe.ping"),
        *("/api/", "/api/nothing", "/api/v1", "/api/v1/resource/User", "/api/v3/method/ping"),
    ],
)
def test_unknown_addresses_are_404(api, make_user, path):
    narrow = client_of(make_user("narrow"), scopes=["other"])
    for ask in (api.get, api.patch, api.options, APIClient().post, narrow.delete):
        assert_error(ask(path), 404, "DoesNotExistError", "There is no such address")
    api.credentials(HTTP_AUTHORIZATION="token a:b")
    assert_error(api.get(path), 401, "AuthenticationError")


@pytest.mark.parametrize("path", ["/api/schema", "/api/events", "/api/keys"])
def test_known_addresses_need_no_slash(api, path):
    assert api.get(path).status_code == 200


def test_first_version_is_also_under_its_number(api, todo):
    assert api.get("/api/v1/resource/ToDo").json() == api.get(LIST).json()
    assert api.get(f"/api/v1/resource/ToDo/{todo.name}").json() == api.get(url(todo)).json()
    count = api.get("/api/v1/method/frappe.client.get_count", {"doctype": "ToDo"})
    assert count.json() == {"message": 1}


def test_credentials_are_needed(todo):
    for client in (APIClient(), APIClient(HTTP_AUTHORIZATION="token a:b")):
        response = client.get(LIST)
        assert_error(response, 401, "AuthenticationError")
        assert response["WWW-Authenticate"].startswith('token realm="api", Bearer realm="api"')


@permission_needed(view={"list", "retrieve"}, add={"create"}, change={"update"}, delete={"destroy"})
def test_each_action_needs_its_permission(make_user, todo, permission, allowed):
    client = client_of(make_user("clerk", permissions=(permission,)))

    responses = {
        "list": client.get(LIST),
        "retrieve": client.get(url(todo)),
        "create": client.post(LIST, {"description": "a"}, format="json"),
        "update": client.put(url(todo), {"status": "Closed"}, format="json"),
        "destroy": client.delete(url(todo)),
    }

    assert_only_allowed(responses, allowed)


def test_scoped_key_needs_the_scope(worker, todo):
    assert client_of(worker, scopes=["todos"]).get(LIST).status_code == 200

    refused = client_of(worker, scopes=["other"]).get(LIST)

    assert_error(refused, 403, "PermissionError")
    assert refused.json()["code"] == "insufficient_scope"


def test_session_needs_its_csrf_token(worker, todo):
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(worker)

    assert browser.get(LIST).status_code == 200
    for response in (browser.delete(url(todo)), browser.post("/?cmd=frappe.client.delete")):
        assert_error(response, 403, "PermissionError", "CSRF")
