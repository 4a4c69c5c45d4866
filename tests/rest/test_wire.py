"""What all addresses under ``keys/`` share: credentials, methods, bodies, and their form."""

import pytest
from django.core.exceptions import RequestDataTooBig
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from frappe_tokens.api.errors import keys_exception_handler
from frappe_tokens.models import ApiKey

from ..conftest import PASSWORD
from .conftest import KEYS, assert_no_secret, assert_refused, assert_wrong, rows, send

pytestmark = pytest.mark.django_db

# Of each address, what it answers; OPTIONS it always does.
METHODS = {
    "": {"GET", "HEAD", "POST"},
    "{}/": {"GET", "HEAD", "PATCH", "DELETE"},
    "{}/rotate/": {"POST"},
    "{}/usage/": {"GET", "HEAD"},
    "revoke-leaked/": {"POST"},
}
WRITES = [
    ("POST", ""),
    ("PATCH", "{}/"),
    ("DELETE", "{}/"),
    ("POST", "{}/rotate/"),
]


def test_addresses_have_names():
    assert reverse("frappe_tokens:keys") == "/api/keys"
    assert reverse("frappe_tokens:key", args=["ftk_1"]) == "/api/keys/ftk_1"
    assert reverse("frappe_tokens:rotate_key", args=["ftk_1"]) == "/api/keys/ftk_1/rotate"
    assert reverse("frappe_tokens:key_usage", args=["ftk_1"]) == "/api/keys/ftk_1/usage"
    assert reverse("frappe_tokens:revoke_leaked") == "/api/keys/revoke-leaked"


def test_each_scheme_opens_all(manager, user, header_of):
    client = Client(headers={"authorization": header_of(manager)})
    made = client.post(KEYS, {"user": "ada"}, content_type="application/json")
    path = made["Location"]
    assert made.status_code == 201
    assert client.get(KEYS).status_code == 200
    assert client.get(path).status_code == 200
    patched = client.patch(path, {"name": "deploy"}, content_type="application/json")
    assert patched.status_code == 200
    assert client.post(f"{path}rotate/", content_type="application/json").status_code == 200
    assert client.delete(path).status_code == 204


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_session_needs_its_csrf_token(system_manager, keys, method, path):
    browser = Client(enforce_csrf_checks=True)
    assert browser.login(username="manager", password=PASSWORD)
    before = rows()
    path = KEYS + path.format(keys.api_key)
    response = browser.generic(method, path, "", content_type="application/json")
    assert_refused(response, 403, "permission_denied", "CSRF")
    assert rows() == before

    browser.get("/admin/password_change/")
    headers = {"x-csrftoken": browser.cookies["csrftoken"].value}
    response = browser.generic(method, path, "", content_type="application/json", headers=headers)
    assert response.status_code in {200, 201, 204}
    assert "no-store" in response["Cache-Control"]


def test_session_sees_without_a_csrf_token(system_manager, keys):
    browser = Client(enforce_csrf_checks=True)
    assert browser.login(username="manager", password=PASSWORD)
    assert browser.get(KEYS).json()["count"] == 1
    assert browser.get(KEYS + keys.api_key).status_code == 200


def test_session_beside_a_header_changes_nothing(system_manager, keys):
    browser = Client()
    assert browser.login(username="manager", password=PASSWORD)
    before = rows()
    for authorization in ("token a:b", "token", "Basic !"):
        headers = {"authorization": authorization}
        assert browser.get(KEYS, headers=headers).status_code == 401
        assert browser.delete(KEYS + keys.api_key, headers=headers).status_code == 401
    assert rows() == before


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE"])
@pytest.mark.parametrize("path", METHODS)
def test_other_methods_are_405(manager, keys, path, method):
    before = rows()
    response = send(manager, method, path.format(keys.api_key))
    if method in METHODS[path]:
        assert response.status_code != 405
        return
    assert response.status_code == 405
    allowed = {name.strip() for name in response["Allow"].split(",")}
    assert allowed == METHODS[path] | {"OPTIONS"}
    assert rows() == before


def test_head_says_what_get_says(manager, keys):
    for path in ("", keys.api_key):
        head, get = send(manager, "HEAD", path), send(manager, "GET", path)
        assert head.status_code == 200
        assert head.content == b""
        assert head["Content-Length"] == get["Content-Length"]


@pytest.mark.parametrize("path", METHODS)
def test_options_tell_of_no_key_and_no_user(keys, root, path):
    before = rows()
    answers = [
        send(keys, "OPTIONS", path.format(api_key))
        for api_key in (keys.api_key, root.api_key, "ftk_0000000000000000")
    ]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    text = answers[0].content.decode()
    assert "root" not in text
    assert "ftk_" not in text
    assert_no_secret(answers[0])
    assert rows() == before


def test_options_tell_nobody_anything():
    assert_refused(send(None, "OPTIONS"), 401, "not_authenticated")


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "nonsense", "*/*;q=0", ""])
def test_answers_json_whatever_is_accepted(manager, keys, accept):
    for query in ("", "?format=api", "?format=xml"):
        response = send(manager, "GET", query, HTTP_ACCEPT=accept)
        assert response.status_code == 200
        assert_no_secret(response)
    response = send(manager, "POST", f"{keys.api_key}/rotate/", HTTP_ACCEPT=accept)
    assert response["Content-Type"] == "application/json"
    assert response.json()["api_secret"]


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b"user=ada", b"NaN", b"{'a': 1}", b"[" * 50_000, b'{"a": 1} x']
)
def test_broken_json_is_a_parse_error(manager, keys, method, path, body):
    before = rows()
    response = send(manager, method, path.format(keys.api_key), body)
    assert_refused(response, 400, "parse_error")
    assert rows() == before


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize("body", [b"[1]", b'"name"', b"1", b"true", b'[{"name": "x"}]'])
def test_body_that_is_no_object_is_wrong(manager, keys, method, path, body):
    before = rows()
    response = send(manager, method, path.format(keys.api_key), body)
    assert_wrong(response, "non_field_errors")
    assert rows() == before


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", ""],
)
def test_other_content_types_are_415(manager, keys, method, path, content_type):
    before = rows()
    path = path.format(keys.api_key)
    response = send(manager, method, path, b"name=x", content_type=content_type)
    assert_refused(response, 415, "unsupported_media_type")
    assert rows() == before


@pytest.mark.parametrize("path", ["{}/", "{}/rotate/"])
@pytest.mark.parametrize("api_key", ["a%0Ab", "%0A", "%0D%0A", "a%2Fb", "%00", "%20", "%E2%80%A8"])
def test_what_is_no_key_is_404_whatever_its_characters(manager, path, api_key):
    method = "POST" if "rotate" in path else "GET"
    assert_refused(send(manager, method, path.format(api_key)), 404, "no_key")


def test_request_that_django_cannot_read_is_a_parse_error():
    response = keys_exception_handler(RequestDataTooBig("Too large."), {})
    assert response is not None
    assert (response.status_code, response.data["code"]) == (400, "parse_error")


def test_what_is_no_answer_stays_a_server_error(manager, keys, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("broken")

    monkeypatch.setattr("frappe_tokens.api.keys.revoke", broken)
    with pytest.raises(RuntimeError, match="broken"):
        send(manager, "DELETE", keys.api_key)


def test_errors_of_the_core_about_fields_come_by_field(manager, keys, settings, monkeypatch):
    # As where a setting changes between the two checks.
    monkeypatch.setattr("frappe_tokens.api.serializers.clean_changes", lambda changes: changes)
    before = rows()
    response = send(manager, "PATCH", keys.api_key, {"scopes": ['"'], "name": "x"})
    assert_wrong(response, "scopes", sentence="is not a valid scope")
    response = send(manager, "POST", body={"name": "x", "scopes": ['"']})
    assert_refused(response, 400, "invalid", "is not a valid scope")
    assert rows() == before


@pytest.mark.django_db(transaction=True)
def test_runs_in_no_transaction_of_the_request(manager, user, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    seen = []

    def watch(execute, sql, params, many, context):
        seen.append((sql.split()[0].upper(), connection.in_atomic_block))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        made = send(manager, "POST", body={"user": "ada"})
        taken = send(manager, "POST", body={"user": "ada"})
    assert (made.status_code, taken.status_code) == (201, 409)
    assert ("SELECT", False) in seen
    assert ApiKey.objects.filter(user=user).count() == 1


class ReadsFromReplica:
    def db_for_read(self, model, **hints):
        return "replica"

    def db_for_write(self, model, **hints):
        return "default"


@pytest.mark.django_db(transaction=True, databases=["default", "replica"])
def test_what_is_written_is_read_where_it_is_written(manager, keys, settings):
    settings.DATABASE_ROUTERS = [ReadsFromReplica()]

    def read_from_replica(method, path):
        with CaptureQueriesContext(connections["replica"]) as captured:
            response = send(manager, method, path.format(keys.api_key))
        assert response.status_code in {200, 201, 204}
        # Credentials are looked for by another statement, which has no order.
        return any("apikey" in q["sql"] and "ORDER BY" in q["sql"] for q in captured)

    assert read_from_replica("GET", "")
    assert read_from_replica("GET", "{}/")
    assert not read_from_replica("POST", "{}/rotate/")
    assert not read_from_replica("PATCH", "{}/")
    assert not read_from_replica("DELETE", "{}/")
