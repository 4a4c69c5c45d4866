"""``POST keys/``."""

import json
from datetime import datetime, timezone

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import include, path

from frappe_tokens.crypto import checksum
from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey

from .conftest import FIELDS, KEYS, assert_refused, assert_unchanged, assert_wrong, send, works

pytestmark = pytest.mark.django_db


def assert_created(response):
    assert response.status_code == 201, response.content
    body = response.json()
    assert set(body) == FIELDS | {"api_secret"}
    assert "no-store" in response["Cache-Control"]
    assert response["Location"] == f"{KEYS}{body['api_key']}/"
    assert works(body["api_key"], body["api_secret"])
    return ApiKey.objects.get(api_key=body["api_key"])


@pytest.mark.parametrize("slash", ["", "/"])
def test_key_for_another_user(client, manager, user, slash):
    headers = {"authorization": f"token {manager.token}"}
    body = {"user": "ada", "name": "deploy"}

    response = client.post(f"/api/keys{slash}", body, "application/json", headers=headers)

    key = assert_created(response)
    assert (key.user, key.name, key.created_by) == (user, "deploy", manager.instance.user)
    entry = LogEntry.objects.get(content_type__model="apikey", object_id=key.pk)
    assert "Generated a secret" in entry.change_message
    found = client.get(response["Location"], headers=headers).json()
    assert found["api_key"] == key.api_key


@pytest.mark.parametrize("body", [None, {}, {"name": "second"}, {"user": "root", "name": "x"}])
def test_key_is_for_the_caller_by_default(make_user, body):
    root = generate_keys(make_user("root", is_superuser=True), name="shell")

    key = assert_created(send(root, "POST", body=body))

    assert (key.user, key.name) == (root.instance.user, (body or {}).get("name", ""))


def test_key_has_the_given_policies(manager, user):
    policies = {
        "scopes": ["todos", "events", "todos"],
        "read_only": True,
        "allowed_ips": ["127.0.0.0/8", " 127.0.0.0/8 ", "::1"],
        "rate_limit": "5/minute",
        "expires_at": "2100-01-01T00:00:00+02:00",
        "self_rotate": True,
    }
    notes = {"description": "Nightly build", "metadata": {"team": "ops"}}

    response = send(manager, "POST", body={"user": "ada", "name": " deploy ", **policies, **notes})

    assert response.status_code == 201
    expected = {
        **policies,
        "scopes": ["todos", "events"],
        "allowed_ips": ["127.0.0.0/8", "::1"],
        "expires_at": datetime(2099, 12, 31, 22, tzinfo=timezone.utc),
    }
    stored = ApiKey.objects.get(api_key=response.json()["api_key"])
    assert (stored.name, stored.policies) == ("deploy", expected)
    assert (stored.description, stored.metadata) == (notes["description"], notes["metadata"])
    shown = {**expected, **notes, "name": "deploy", "expires_at": "2099-12-31T22:00:00Z"}
    assert {name: response.json()[name] for name in shown} == shown


@pytest.mark.parametrize("name", ["", "deploy", " deploy "])
def test_taken_name_is_a_conflict(manager, user, name):
    taken = generate_keys(user, name=name.strip())

    with assert_unchanged():
        response = send(manager, "POST", body={"user": "ada", "name": name, "read_only": True})

    assert_refused(response, 409, "name_taken", "There is already an API key")
    assert works(taken.api_key, taken.api_secret)


READ_ONLY = [
    *("api_key", "api_secret", "secret_digest", "previous_digest", "created_at", "created_by"),
    *("revoked_at", "revoked_reason", "last_used_at", "last_used_ip", "rotated_at", "live", "id"),
]


@pytest.mark.parametrize("name", READ_ONLY)
def test_read_only_fields_are_refused(manager, keys, name):
    with assert_unchanged():
        for value in ("fts_mine", None, ["fts_mine"]):
            created = send(manager, "POST", body={"user": "ada", name: value})
            changed = send(manager, "PATCH", keys.api_key, {"read_only": True, name: value})
            assert_wrong(created, name, sentence="You can't choose it.")
            assert_wrong(changed, name, sentence="You can't choose it.")
        assert_wrong(send(manager, "PATCH", keys.api_key, {"user": "manager"}), "user")


@pytest.mark.parametrize("name", ["token", "grace", "detail", "", "\x00", "\ud800"])
def test_unknown_fields_are_refused(manager, user, name):
    with assert_unchanged():
        response = send(manager, "POST", body={"user": "ada", name: "fts_mine"})

    shown = name.encode("utf-8", "backslashreplace").decode()
    assert_wrong(response, shown, sentence="There is no such field. The fields are: name,")


def test_all_errors_are_reported_at_once(manager):
    by_type = {"api_secret": "x", "read_only": 1, "scopes": "todos"}
    by_value = {"name": "a\nb", "scopes": ['"'], "allowed_ips": ["x"], "rate_limit": "x"}

    for body in (by_type, by_value):
        assert_wrong(send(manager, "POST", body=body), *body)


DEEP = json.loads("[" * 200 + "]" * 200)
# Fixed, because each process must collect tests with the same names.
BODY = "fts_" + "0123456789" * 4 + "abc"
SECRET = BODY + checksum(BODY)
NO_STRING = [None, 1, 1.5, True, [], {}, DEEP]
NO_STRINGS = [None, "x", "", 1, True, {}, DEEP, [1], [""]]
UNUSABLE = {
    "user": [*NO_STRING, "", "nobody", "a" * 5000],
    "name": [*NO_STRING, "a" * 101, "a\nb"],
    "rate_limit": [*NO_STRING, "x", "5", "1" * 10 + "/m", "5/m" + "x" * 28],
    "scopes": [*NO_STRINGS, ['"'], ["a b"], [str(number) for number in range(101)]],
    "allowed_ips": [*NO_STRINGS, ["127.0.0.1/8"], ["300.0.0.1"], ["a" * 201]],
    "metadata": [None, [], "ops", {"a b": 1}, {"a": "x" * 4096}, {"a": "\0"}, {"a": SECRET}],
    "read_only": [None, 0, 1, "", "true", "false", [], {}, DEEP],
    "expires_at": [
        *(1, 0, True, "", "x", [], {}, "now", "2100-13-01", "2100-01-01", "2100-01-01T00:00:00"),
        *("2000-01-01T00:00:00Z", "9999-12-31T23:59:59Z"),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"),
    ],
}
VALUES = [(name, value) for name, values in UNUSABLE.items() for value in values]
NO_TEXT = [(name, text) for name in UNUSABLE for text in ("\ud800", "a\x00b")]


@pytest.mark.parametrize(("name", "value"), VALUES + NO_TEXT, ids=lambda value: ascii(value)[:30])
def test_unusable_values_are_refused(manager, keys, name, value):
    with assert_unchanged():
        assert_wrong(send(manager, "POST", body={"user": "ada", name: value}), name)
        assert_wrong(send(manager, "PATCH", keys.api_key, {name: value}), name)


def test_inactive_user_is_refused(manager, make_user):
    make_user("gone", is_active=False)

    with assert_unchanged():
        response = send(manager, "POST", body={"user": "gone"})

    assert_refused(response, 400, "user_inactive", "Activate the user first.")


urlpatterns = [path("für alle/", include("frappe_tokens.urls"))]


@pytest.mark.urls(__name__)
def test_location_is_quoted(manager):
    headers = {"authorization": f"token {manager.token}"}

    response = Client().post("/für alle/keys/", {"name": "x"}, "application/json", headers=headers)

    assert response["Location"] == f"/f%C3%BCr%20alle/keys/{response.json()['api_key']}/"
    assert Client().get(response["Location"], headers=headers).json()["name"] == "x"
