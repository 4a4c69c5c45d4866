"""Callers who may not make a call: nothing changes, and the response discloses nothing."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from frappe_tokens.keys import generate_keys

from ..conftest import basic_header
from .conftest import GENERATE, KEYS, assert_refused, assert_unchanged, send

pytestmark = pytest.mark.django_db

NEW = {"name": "new"}
# Each call's method, path and body, on a key of a user.
CALLS = {
    "create": ("POST", "", {**NEW, "user": ...}),
    "create by a taken name": ("POST", "", {"user": ...}),
    "narrow": ("PATCH", "{}", {"read_only": True}),
    "rename": ("PATCH", "{}", NEW),
    "rotate": ("POST", "{}/rotate/", {"grace": 3600}),
    "renew": ("POST", "{}/rotate/", {"expires_in": 3600}),
    "describe": ("PATCH", "{}", {"description": "mine", "metadata": {"team": "ops"}}),
    "enable": ("POST", "{}/enable/", None),
    "disable": ("POST", "{}/disable/", None),
    "revoke": ("DELETE", "{}", None),
}
every_call = pytest.mark.parametrize("call", CALLS)


def make_call(call, by, key):
    method, path, body = CALLS[call]
    if body and "user" in body:
        body = {**body, "user": key.instance.user.get_username()}
    return send(by, method, path.format(key.api_key), body)


def assert_nothing_happens(call, by, key, status, code):
    with assert_unchanged():
        assert_refused(make_call(call, by, key), status, code)


@pytest.mark.parametrize("rights", ["superuser", "helpdesk"])
@pytest.mark.parametrize("call", list(CALLS)[:-2])
def test_manager_may_only_stop_keys_of_users_with_more_rights(
    manager, root, make_user, rights, call
):
    helpdesk = make_user("helpdesk", is_staff=True, permissions=("auth.change_user",))
    key = root if rights == "superuser" else generate_keys(helpdesk)

    assert_nothing_happens(call, manager, key, 403, "permission_denied")
    assert make_call("disable", manager, key).status_code == 200
    assert_nothing_happens("enable", manager, key, 403, "permission_denied")
    assert make_call("revoke", manager, key).status_code == 204


@every_call
def test_only_with_self_service_users_manage_their_own_keys(keys, settings, call):
    assert_nothing_happens(call, keys, keys, 403, "permission_denied")

    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}
    expected = {"create": 201, "create by a taken name": 409, "revoke": 204}
    assert make_call(call, keys, keys).status_code == expected.get(call, 200)


@every_call
@pytest.mark.parametrize(
    ("policies", "code"),
    [({"read_only": True}, "key_read_only"), ({"scopes": ["todos"]}, "insufficient_scope")],
)
@pytest.mark.parametrize("own", [False, True], ids=["permission", "self-service"])
def test_restricted_key_may_do_nothing(system_manager, keys, settings, call, policies, code, own):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": own}
    user = keys.instance.user if own else system_manager
    restricted = generate_keys(user, name="restricted", **policies)

    assert_nothing_happens(call, restricted, keys, 403, code)


@pytest.mark.parametrize("self_service", [False, True])
def test_creation_for_others_does_not_disclose_users(keys, root, make_user, settings, self_service):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": self_service}
    make_user("gone", is_active=False)
    generate_keys(make_user("grace"))

    for by, status, code in [(keys, 403, "permission_denied"), (None, 401, "not_authenticated")]:
        with assert_unchanged():
            responses = [
                send(by, "POST", body={"user": name})
                for name in ("grace", "gone", "root", "nobody", "Ada", "a" * 1000)
            ]
        for response in responses:
            assert_refused(response, status, code)
        assert len({response.content for response in responses}) == 1


def test_self_service_does_not_look_for_other_users(keys, self_service):
    with CaptureQueriesContext(connection) as captured:
        send(keys, "POST", body={"user": "somebody-else"})

    assert captured.captured_queries
    assert "somebody-else" not in str(captured.captured_queries)


@pytest.mark.parametrize("body", [{}, {"user": 1}, {"api_secret": "mine"}, {"grace": -1}, []])
def test_permission_is_checked_before_the_body(keys, body):
    for method, path in (("POST", ""), ("PATCH", "{}"), ("POST", "{}/rotate/")):
        response = send(keys, method, path.format(keys.api_key), body)
        assert_refused(response, 403, "permission_denied")


@every_call
def test_self_service_does_not_reach_other_users_keys(keys, make_user, self_service, call):
    foreign = generate_keys(make_user("grace"))

    creates = CALLS[call][1] == ""
    status, code = (403, "permission_denied") if creates else (404, "no_key")
    assert_nothing_happens(call, keys, foreign, status, code)


def test_another_site_may_not_use_a_basic_login(root, keys):
    headers = {"authorization": basic_header(root), "origin": "https://evil.example"}
    client = Client(headers=headers)

    with assert_unchanged():
        responses = [
            client.post(KEYS, b"{}", "application/json"),
            client.delete(f"{KEYS}{keys.api_key}/"),
            client.post(GENERATE, {"user": "ada"}),
            client.post("/api/resource/ToDo", b"{}", "application/json"),
            client.post("/?cmd=frappe.core.doctype.user.user.generate_keys", {"user": "ada"}),
        ]

    codes = {(response.status_code, response.json()["code"]) for response in responses}
    assert codes == {(403, "cross_site_request")}


def test_own_key_is_not_widened(keys, self_service):
    narrow = generate_keys(keys.instance.user, name="narrow", scopes=["todos"], read_only=True)

    for method, path, body in [
        ("PATCH", narrow.api_key, {"name": "mine", "read_only": False}),
        ("PATCH", narrow.api_key, {"scopes": []}),
        ("PATCH", keys.api_key, {"rate_limit": "1000/minute"}),
        ("POST", "", {"name": "fast", "rate_limit": "1000/minute"}),
        ("POST", "", {"name": "lasting", "self_rotate": True}),
        ("PATCH", keys.api_key, {"self_rotate": True}),
    ]:
        with assert_unchanged():
            assert_refused(send(keys, method, path, body), 403, "permission_denied", "extend")


def test_narrow_key_does_not_manage_wider_ones(system_manager, keys):
    narrow = generate_keys(system_manager, allowed_ips=["127.0.0.0/8"])

    with assert_unchanged():
        rotated = send(narrow, "POST", f"{keys.api_key}/rotate/")
        widened = send(narrow, "PATCH", narrow.api_key, {"allowed_ips": ["126.0.0.0/7"]})
    created = send(narrow, "POST", body={"user": "ada", "name": "as narrow"}).json()

    for response in (rotated, widened):
        assert_refused(response, 403, "permission_denied", "An API key can't manage a key that")
    assert created["allowed_ips"] == ["127.0.0.0/8"]
