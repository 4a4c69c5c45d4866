"""``api/resource/ToDo``: documents in Frappe's envelope."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from testproject.todos.models import ToDo

from .conftest import assert_error, client_of

LIST = "/api/resource/ToDo"


def url(todo):
    return f"{LIST}/{todo.name}"


def test_gives_a_whole_document(api, todo):
    document = api.get(url(todo)).json()["data"]
    assert document == {
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


def test_creates_a_document_that_its_maker_owns(api, worker):
    response = api.post(LIST, {"description": "Call", "date": "2026-03-01"}, format="json")
    assert response.status_code == 200
    made = ToDo.objects.get()
    assert response.json()["data"]["name"] == made.name
    assert (made.description, str(made.date), made.owner) == ("Call", "2026-03-01", worker)


@pytest.mark.parametrize(
    ("body", "format_"),
    [
        ({"description": "Call", "priority": "High"}, "json"),
        ({"data": {"description": "Call", "priority": "High"}}, "json"),
        ({"data": json.dumps({"description": "Call", "priority": "High"})}, "multipart"),
        ({"description": "Call", "priority": "High", "date": ""}, "multipart"),
    ],
)
def test_takes_json_and_forms(api, body, format_):
    document = api.post(LIST, body, format=format_).json()["data"]
    assert (document["description"], document["priority"]) == ("Call", "High")


def test_takes_an_url_encoded_form(api):
    response = api.post(
        LIST, "description=Call&date=", content_type="application/x-www-form-urlencoded"
    )
    assert response.json()["data"]["description"] == "Call"


@pytest.mark.parametrize("method", ["put", "patch"])
def test_updates_only_what_is_sent(api, todo, method):
    response = getattr(api, method)(url(todo), {"status": "Closed"}, format="json")
    assert response.status_code == 200
    todo.refresh_from_db()
    assert (todo.status, todo.description) == ("Closed", "Water the plants")
    assert response.json()["data"]["status"] == "Closed"


def test_passes_over_read_only_fields(api, todo, user):
    sent = {"name": "mine", "owner": user.username, "creation": "2000-01-01", "modified": "x"}
    document = api.put(url(todo), {**sent, "docstatus": 1}, format="json").json()["data"]
    assert (document["name"], document["owner"]) == (todo.name, "worker")
    assert not document["creation"].startswith("2000")


def test_deletes(api, todo):
    response = api.delete(url(todo))
    assert (response.status_code, response.json()) == (202, {"data": "ok", "message": "ok"})
    assert not ToDo.objects.exists()
    assert_error(api.delete(url(todo)), 404, "DoesNotExistError")


@pytest.mark.parametrize("slash", ["", "/"])
def test_needs_no_trailing_slash(api, todo, slash):
    assert api.get(LIST + slash).json() == {"data": [{"name": todo.name}]}
    assert api.get(url(todo) + slash).json()["data"]["name"] == todo.name


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "description: This field is required."),
        ({"description": ""}, "description: This field may not be blank."),
        ({"description": "a\0b"}, "Null characters"),
        ({"description": "\ud800"}, "Surrogate characters"),
        ({"description": ["a"]}, "Not a valid string"),
        ({"description": "a", "status": "Done"}, "is not a valid choice"),
        ({"description": "a", "status": "\ud800"}, "is not a valid choice"),
        ({"description": "a", "priority": {"a": 1}}, "is not a valid choice"),
        ({"description": "a", "date": "2026-02-30"}, "date: "),
        ({"description": "a", "date": 5}, "date: "),
        ({"data": "{"}, "data is not valid JSON."),
        ({"data": "[" * 100_000}, "data is not valid JSON."),
        ({"data": [1]}, "Send the fields and their values as an object."),
        (["description"], "Send the fields and their values as an object."),
        ("description", "Send the fields and their values as an object."),
    ],
)
def test_refuses_an_unusable_body(api, body, sentence):
    sent = json.dumps(body)  # keeps a lone surrogate as its escape
    response = api.post(LIST, sent, content_type="application/json")
    assert_error(response, 417, "ValidationError", sentence)
    assert not ToDo.objects.exists()


@pytest.mark.parametrize(
    ("body", "sentence"),
    [("{", "JSON parse error"), ("[" * 100_000, "The JSON body is nested too deeply.")],
)
def test_refuses_what_is_no_json(api, body, sentence):
    response = api.post(LIST, body, content_type="application/json")
    assert_error(response, 417, "ValidationError", sentence)


def test_refuses_a_file_in_place_of_a_text(api):
    for name in ("description", "data"):
        sent = {name: SimpleUploadedFile("a.txt", b"a")}
        assert_error(api.post(LIST, sent, format="multipart"), 417, "ValidationError")


def test_refuses_an_unusable_update(api, todo):
    response = api.put(url(todo), {"status": "Done"}, format="json")
    assert_error(response, 417, "ValidationError", "is not a valid choice")


@pytest.mark.parametrize("method", ["get", "put", "delete"])
def test_tells_of_a_missing_document(api, method):
    response = getattr(api, method)(f"{LIST}/nobody")
    assert_error(response, 404, "DoesNotExistError", "ToDo nobody not found.")


@pytest.mark.parametrize(
    ("name", "sentence"), [("a%00b", "cannot be stored"), ("a" * 41, "at most 40 characters")]
)
def test_refuses_an_impossible_name(api, name, sentence):
    assert_error(api.get(f"{LIST}/{name}"), 417, "ValidationError", sentence)


def test_refuses_a_method_that_there_is_not(api, todo):
    for response in (api.post(url(todo)), api.delete(LIST), api.options(LIST)):
        assert_error(response, 405, "PermissionError")


def test_tells_of_an_unknown_doctype_and_method(api, db):
    for path in ("/api/resource/User", "/api/resource/User/a", "/api/method/frappe.ping"):
        assert_error(api.get(path), 404, "DoesNotExistError")
        assert_error(APIClient().post(path), 404, "DoesNotExistError")


def test_refuses_a_request_without_credentials(todo):
    response = APIClient().get(LIST)
    assert_error(response, 401, "AuthenticationError")
    assert response["WWW-Authenticate"] == 'token realm="api"'


def test_refuses_a_wrong_secret(api, todo):
    api.credentials(HTTP_AUTHORIZATION="token a:b")
    for path in (LIST, "/api/resource/User"):
        assert_error(api.get(path), 401, "AuthenticationError")


@pytest.mark.parametrize(
    ("permission", "allowed"),
    [
        ("view_todo", {"list", "retrieve"}),
        ("add_todo", {"create"}),
        ("change_todo", {"update"}),
        ("delete_todo", {"destroy"}),
    ],
)
def test_each_permission_of_the_user_opens_its_own_call(make_user, todo, permission, allowed):
    client = client_of(make_user("clerk", permissions=(f"todos.{permission}",)))
    answers = {
        "list": client.get(LIST),
        "retrieve": client.get(url(todo)),
        "create": client.post(LIST, {"description": "a"}, format="json"),
        "update": client.put(url(todo), {"status": "Closed"}, format="json"),
        "destroy": client.delete(url(todo)),
    }
    assert {name for name, answer in answers.items() if answer.status_code < 300} == allowed
    for name in answers.keys() - allowed:
        assert_error(answers[name], 403, "PermissionError", "clerk lacks the permission todos.")


def test_a_scoped_key_needs_the_scope(worker, todo):
    assert client_of(worker, scopes=["todos"]).get(LIST).status_code == 200
    refused = client_of(worker, scopes=["other"]).get(LIST)
    assert_error(refused, 403, "PermissionError")
    assert refused.json()["code"] == "insufficient_scope"


def test_a_session_needs_its_csrf_token(worker, todo):
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(worker)
    assert browser.get(LIST).status_code == 200
    assert_error(browser.delete(url(todo)), 403, "PermissionError", "CSRF")
