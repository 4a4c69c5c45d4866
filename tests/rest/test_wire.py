"""What all URLs under ``keys/`` share: credentials, methods, bodies and errors."""

import pytest
from django.core.exceptions import RequestDataTooBig
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from frappe_tokens.api.errors import keys_exception_handler

from .conftest import (
    GENERATE,
    KEYS,
    WHO,
    assert_no_secret,
    assert_refused,
    assert_unchanged,
    assert_wrong,
    send,
)

pytestmark = pytest.mark.django_db

METHODS = {
    "": {"GET", "HEAD", "POST"},
    "{}/": {"GET", "HEAD", "PATCH", "DELETE"},
    "{}/rotate/": {"POST"},
    "{}/usage/": {"GET", "HEAD"},
    "revoke-leaked/": {"POST"},
}
WRITES = [("POST", ""), ("PATCH", "{}/"), ("DELETE", "{}/"), ("POST", "{}/rotate/")]


def test_names_of_urls():
    assert reverse("frappe_tokens:keys") == "/api/keys"
    assert reverse("frappe_tokens:key", args=["ftk_1"]) == "/api/keys/ftk_1"
    assert reverse("frappe_tokens:rotate_key", args=["ftk_1"]) == "/api/keys/ftk_1/rotate"
    assert reverse("frappe_tokens:usage_key", args=["a/b"]) == "/api/keys/a/b/usage"
    assert reverse("frappe_tokens:revoke_leaked") == "/api/keys/revoke-leaked"
    assert reverse("frappe_tokens:get_logged_user") == WHO
    assert reverse("frappe_tokens:generate_keys") == GENERATE


def test_each_scheme_is_accepted(manager, user, header_of):
    client = Client(headers={"authorization": header_of(manager)})

    created = client.post(KEYS, {"user": "ada"}, "application/json")
    path = created["Location"]
    responses = [
        client.get(path),
        client.patch(path, {"name": "deploy"}, "application/json"),
        client.post(f"{path}rotate/", content_type="application/json"),
        client.delete(path),
    ]

    assert created.status_code == 201
    assert [response.status_code for response in responses] == [200, 200, 200, 204]


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_session_needs_its_csrf_token(browser, keys, method, path):
    path = KEYS + path.format(keys.api_key)

    with assert_unchanged():
        response = browser.generic(method, path, content_type="application/json")
    assert_refused(response, 403, "permission_denied", "CSRF")

    headers = {"x-csrftoken": browser.cookies["csrftoken"].value}
    response = browser.generic(method, path, content_type="application/json", headers=headers)
    assert response.status_code in {200, 201, 204}
    assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize("authorization", ["token a:b", "token", "Basic !"])
def test_session_beside_a_header_is_ignored(browser, keys, authorization):
    headers = {"authorization": authorization}

    with assert_unchanged():
        assert browser.get(KEYS, headers=headers).status_code == 401
        assert browser.delete(KEYS + keys.api_key, headers=headers).status_code == 401
        assert browser.post(GENERATE, {"user": "ada"}, headers=headers).status_code == 401


@pytest.mark.parametrize("path", METHODS)
def test_other_methods_are_405(manager, keys, path):
    with assert_unchanged():
        for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE"} - METHODS[path]:
            response = send(manager, method, path.format(keys.api_key))
            assert response.status_code == 405
            assert set(response["Allow"].split(", ")) == METHODS[path] | {"OPTIONS"}


def test_head_has_the_headers_of_get(manager, keys):
    for path in ("", keys.api_key, f"{keys.api_key}/usage"):
        head, get = (send(manager, method, path) for method in ("HEAD", "GET"))
        assert (head.status_code, head.content) == (200, b"")
        assert head["Content-Length"] == get["Content-Length"]


@pytest.mark.parametrize("path", METHODS)
def test_options_disclose_no_key_and_no_user(keys, root, path):
    if path != "revoke-leaked/":
        assert_refused(send(None, "OPTIONS", path.format("x")), 401, "not_authenticated")
    with assert_unchanged():
        responses = [
            send(keys, "OPTIONS", path.format(api_key))
            for api_key in (keys.api_key, root.api_key, "ftk_0000000000000000")
        ]

    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 1
    text = responses[0].content.decode()
    assert "root" not in text
    assert "ftk_" not in text
    assert_no_secret(responses[0])


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "nonsense", "*/*;q=0", ""])
@pytest.mark.parametrize("path", [KEYS, "/api/method/frappe.auth.get_logged_user"])
def test_responses_are_json_whatever_is_accepted(manager, accept, path):
    headers = {"authorization": f"token {manager.token}", "accept": accept}

    for query in ("", "?format=api", "?format=xml"):
        response = Client().get(path + query, headers=headers)
        assert response.status_code == 200
        assert response["Content-Type"] == "application/json"


@pytest.mark.parametrize(("method", "path"), [*WRITES, ("POST", "revoke-leaked/")])
def test_unreadable_bodies_are_refused(manager, keys, method, path):
    def send_body(body, **options):
        return send(manager, method, path.format(keys.api_key), body, **options)

    with assert_unchanged():
        for body in (b"{", b"\xff", b"user=ada", b"NaN", b"[" * 50_000, b'{"a": 1} x'):
            assert_refused(send_body(body), 400, "parse_error")
        for body in (b"[1]", b'"name"', b"1", b"true", b'[{"name": "x"}]'):
            assert_wrong(send_body(body), "non_field_errors")
        for content_type in ("application/x-www-form-urlencoded", "text/plain", ""):
            response = send_body(b"name=x", content_type=content_type)
            assert_refused(response, 415, "unsupported_media_type")


def test_request_that_django_cannot_read_is_a_parse_error():
    response = keys_exception_handler(RequestDataTooBig("Too large."), {})

    assert (response.status_code, response.data["code"]) == (400, "parse_error")


def test_late_validation_errors_are_by_field(manager, keys, monkeypatch):
    # A setting may change between the two checks.
    monkeypatch.setattr("frappe_tokens.api.serializers.clean_changes", lambda *cleaned: cleaned[0])

    with assert_unchanged():
        changed = send(manager, "PATCH", keys.api_key, {"scopes": ['"'], "name": "x"})
        created = send(manager, "POST", body={"name": "x", "scopes": ['"']})

    assert_wrong(changed, "scopes", sentence="is not a valid scope")
    assert_refused(created, 400, "invalid", "is not a valid scope")


class ReadsFromReplica:
    def db_for_read(self, model, **hints):
        return "replica"

    def db_for_write(self, model, **hints):
        return "default"


@pytest.mark.parametrize(
    ("method", "path", "from_replica"),
    [("GET", "", True), ("GET", "{}/", True), *[(*write, False) for write in WRITES[1:]]],
)
@pytest.mark.django_db(transaction=True, databases=["default", "replica"])
def test_keys_to_change_are_not_read_from_a_replica(
    manager, keys, settings, method, path, from_replica
):
    settings.DATABASE_ROUTERS = [ReadsFromReplica()]

    with CaptureQueriesContext(connections["replica"]) as captured:
        response = send(manager, method, path.format(keys.api_key))

    assert response.status_code in {200, 204}
    # The credential is found by another statement, which has no order.
    assert from_replica == any("apikey" in q["sql"] and "ORDER BY" in q["sql"] for q in captured)
