"""``POST keys/``."""

import json
from datetime import datetime, timedelta, timezone

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.core.serializers.json import DjangoJSONEncoder

from frappe_tokens.keys import clean_name, generate_keys, revoke
from frappe_tokens.models import ApiKey

from .conftest import (
    FIELDS,
    KEYS,
    assert_refused,
    assert_tells_no_secret,
    assert_wrong,
    rows,
    send,
    works,
)

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


def assert_made(response):
    assert response.status_code == 201, response.content
    body = response.json()
    assert set(body) == FIELDS | {"api_secret"}
    assert "no-store" in response["Cache-Control"]
    assert response["Location"] == f"{KEYS}{body['api_key']}/"
    assert works(body["api_key"], body["api_secret"])
    return ApiKey.objects.get(api_key=body["api_key"])


def test_makes_a_key_for_a_user(manager, user):
    key = assert_made(send(manager, "POST", body={"user": "ada", "name": "deploy"}))
    assert (key.user, key.name) == (user, "deploy")
    assert key.created_by == manager.instance.user
    noted = LogEntry.objects.get(content_type__model="apikey", object_id=key.pk)
    assert "Generated a secret" in noted.change_message


@pytest.mark.parametrize("path", ["/api/keys", "/api/keys/"])
def test_says_where_the_key_is(client, manager, path):
    headers = {"authorization": str(manager.header).partition(": ")[2]}
    body = {"name": "second"}
    response = client.post(path, body, content_type="application/json", headers=headers)
    shown = client.get(response["Location"], headers=headers).json()
    assert shown["api_key"] == assert_made(response).api_key


def test_makes_a_key_for_oneself_by_default(root, manager):
    revoke(manager.instance)
    again = generate_keys(manager.instance.user, name="other")
    for by, body in ((root, {"name": "second"}), (again, {}), (again, {"name": "second"})):
        key = assert_made(send(by, "POST", body=body))
        assert key.user == by.instance.user
        assert key.name == body.get("name", "")
    assert assert_made(send(root, "POST", body={"user": "root", "name": "x"})).name == "x"


def test_body_may_be_left_out(user, self_service):
    assert assert_made(send(generate_keys(user, name="shell"), "POST")).name == ""


def test_key_has_the_policies_that_were_asked_for(manager, user):
    asked = {
        "scopes": ["todos", "events", "todos"],
        "read_only": True,
        "allowed_ips": ["127.0.0.0/8", " 127.0.0.0/8 ", "::1"],
        "rate_limit": "5/minute",
        "expires_at": "2100-01-01T00:00:00+02:00",
    }
    response = send(manager, "POST", body={"user": "ada", "name": " deploy ", **asked})
    assert response.status_code == 201
    shown = {
        **asked,
        "name": "deploy",
        "scopes": ["todos", "events"],
        "allowed_ips": ["127.0.0.0/8", "::1"],
        "expires_at": "2099-12-31T22:00:00Z",
    }
    assert {name: response.json()[name] for name in shown} == shown
    stored = ApiKey.objects.get(api_key=response.json()["api_key"])
    assert stored.policies | {"expires_at": None} == {
        "scopes": ["todos", "events"],
        "read_only": True,
        "allowed_ips": ["127.0.0.0/8", "::1"],
        "rate_limit": "5/minute",
        "expires_at": None,
    }
    assert stored.expires_at == datetime(2099, 12, 31, 22, tzinfo=timezone.utc)


def test_expiry_is_the_default_where_none_is_asked_for(manager, user, settings):
    settings.FRAPPE_TOKENS = {"DEFAULT_LIFETIME": timedelta(days=30)}
    with time_machine.travel(NOW, tick=False):
        for name, body in (("a", {}), ("b", {"expires_at": None})):
            key = assert_made(send(manager, "POST", body={"user": "ada", "name": name, **body}))
            assert key.expires_at == NOW + timedelta(days=30)


def test_expiry_is_the_servers_time_where_zones_are_off(manager, user, settings):
    settings.USE_TZ = False
    settings.TIME_ZONE = "America/New_York"
    for name, asked in (("a", "2100-01-01T17:00:00Z"), ("b", "2100-01-01T12:00:00")):
        body = {"user": "ada", "name": name, "expires_at": asked}
        key = assert_made(send(manager, "POST", body=body))
        assert key.expires_at == datetime(2100, 1, 1, 12)


# Not twice


@pytest.mark.parametrize("name", ["", "deploy", " deploy "])
def test_name_that_is_taken_is_a_conflict(manager, user, name):
    taken = generate_keys(user, name=clean_name(name))
    before = rows()
    response = send(manager, "POST", body={"user": "ada", "name": name, "read_only": True})
    assert_refused(response, 409, "name_taken", "There is already an API key")
    assert rows() == before
    assert works(taken.api_key, taken.api_secret)


def test_name_of_a_revoked_key_is_free(manager, keys):
    revoke(keys.instance)
    key = assert_made(send(manager, "POST", body={"user": "ada"}))
    assert key.api_key != keys.api_key
    assert ApiKey.objects.get(pk=keys.instance.pk).is_revoked


def test_name_of_anothers_key_is_free(manager, keys):
    send(manager, "POST", body={"name": "mine"})
    assert assert_made(send(manager, "POST", body={"user": "ada", "name": "mine"})).name == "mine"


# What cannot be


@pytest.mark.parametrize(
    "name",
    [
        "api_key",
        "api_secret",
        "secret_digest",
        "previous_digest",
        "created_at",
        "created_by",
        "revoked_at",
        "last_used_at",
        "last_used_ip",
        "rotated_at",
        "live",
        "id",
    ],
)
def test_client_cannot_choose_what_is_not_theirs(manager, user, name):
    before = rows()
    for value in ("fts_mine", None, 1, ["fts_mine"]):
        response = send(manager, "POST", body={"user": "ada", "name": "x", name: value})
        assert_wrong(response, name, sentence="You can't choose it.")
    assert rows() == before


@pytest.mark.parametrize("name", ["token", "secret", "grace", "detail", "", "\x00", "\ud800"])
def test_unknown_fields_are_refused(manager, user, name):
    before = rows()
    response = send(manager, "POST", body={"user": "ada", name: "fts_mine"})
    shown = name.encode("utf-8", "backslashreplace").decode()
    assert_wrong(response, shown, sentence="There is no such field. The fields are: name, scopes,")
    assert rows() == before


def test_all_that_is_wrong_is_told_at_once(manager):
    body = {"api_secret": "x", "read_only": 1, "scopes": "todos"}
    assert_wrong(send(manager, "POST", body=body), "api_secret", "read_only", "scopes")
    body = {"name": "a\nb", "scopes": ['"'], "allowed_ips": ["x"], "rate_limit": "x"}
    expected = {**body, "expires_at": "2000-01-01T00:00:00Z"}
    assert_wrong(send(manager, "POST", body=expected), *expected)


DEEP = []
for _level in range(200):
    DEEP = [DEEP]

UNUSABLE = [
    *[(name, None) for name in ("user", "name", "scopes", "read_only", "allowed_ips")],
    ("rate_limit", None),
    *[(name, value) for name in ("user", "name", "rate_limit") for value in (1, 1.5, True, [], {})],
    *[(name, DEEP) for name in ("user", "name", "scopes", "allowed_ips", "read_only")],
    *[(name, "\ud800") for name in ("user", "name", "rate_limit", "expires_at", "read_only")],
    *[(name, "a\x00b") for name in ("user", "name", "rate_limit", "expires_at", "read_only")],
    ("user", ""),
    ("name", "a" * 101),
    ("name", "a\nb"),
    ("name", "a\u200bb"),
    *[
        (name, value)
        for name in ("scopes", "allowed_ips")
        for value in ("x", "", 1, True, {}, {"a": 1}, [None], [1], [True], [[]], [{}], [""], [" "])
    ],
    *[(name, [text]) for name in ("scopes", "allowed_ips") for text in ("\ud800", "\x00", "a b")],
    *[(name, ["a" * 201]) for name in ("scopes", "allowed_ips")],
    ("scopes", ['"']),
    ("scopes", ["ü"]),
    ("scopes", [str(number) for number in range(101)]),
    ("allowed_ips", ["127.0.0.1/8"]),
    ("allowed_ips", ["300.0.0.1"]),
    ("allowed_ips", ["::1/129"]),
    *[("read_only", value) for value in (0, 1, "", "true", "false", [], {}, [True])],
    ("rate_limit", "x"),
    ("rate_limit", "5"),
    ("rate_limit", "-5/minute"),
    ("rate_limit", "1" * 10 + "/m"),
    ("rate_limit", "5/m" + "x" * 28),
    *[("expires_at", value) for value in (1, 0, True, "", "x", [], {}, "now", "2100-13-01")],
    ("expires_at", "2100-01-01T00:00:00"),
    ("expires_at", "2100-01-01"),
    ("expires_at", "2000-01-01T00:00:00Z"),
    ("expires_at", "0001-01-01T00:00:00+14:00"),
    ("expires_at", "9999-12-31T23:59:59-14:00"),
]


@pytest.mark.parametrize(("name", "value"), UNUSABLE, ids=lambda value: ascii(value)[:30])
def test_unusable_values_are_wrong(manager, user, name, value):
    before = rows()
    assert_wrong(send(manager, "POST", body={"user": "ada", name: value}), name)
    assert rows() == before


def test_expiry_beyond_the_longest_lifetime_is_wrong(manager, user, settings):
    settings.FRAPPE_TOKENS = {"MAX_LIFETIME": timedelta(days=30)}
    with time_machine.travel(NOW, tick=False):
        before = rows()
        for late in (
            NOW + timedelta(days=30, seconds=1),
            datetime.max.replace(tzinfo=timezone.utc),
        ):
            body = json.dumps({"user": "ada", "expires_at": late}, cls=DjangoJSONEncoder).encode()
            response = send(manager, "POST", body=body)
            assert_wrong(response, "expires_at", sentence="must expire by")
        assert rows() == before
        body = json.dumps(
            {"user": "ada", "expires_at": NOW + timedelta(days=30)}, cls=DjangoJSONEncoder
        ).encode()
        assert assert_made(send(manager, "POST", body=body)).expires_at == NOW + timedelta(days=30)


def test_key_may_live_for_a_lifetime(manager, user):
    body = {"user": "ada", "expires_at": "2099-12-31T23:59:59Z"}
    key = assert_made(send(manager, "POST", body=body))
    assert send(manager, "GET", key.api_key).json()["expires_at"] == "2099-12-31T23:59:59Z"


def test_expiry_at_the_end_of_time_is_wrong(manager, user):
    """Some databases and time zones could not give it back."""
    for moment in ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00"):
        response = send(manager, "POST", body={"user": "ada", "expires_at": moment})
        assert response.status_code == 400
        assert set(response.json()) == {"expires_at"}
    assert not ApiKey.objects.filter(user=user).exists()


def test_unknown_user_is_wrong(manager):
    before = rows()
    for username in ("nobody", "Ada", "a" * 5000, "\U0001f511"):
        response = send(manager, "POST", body={"user": username})
        assert_wrong(response, "user", sentence="There is no user with this name.")
    assert rows() == before


def test_inactive_user_is_wrong(manager, make_user):
    make_user("gone", is_active=False)
    before = rows()
    response = send(manager, "POST", body={"user": "gone"})
    assert_refused(response, 400, "user_inactive", "Activate the user first.")
    assert rows() == before


def test_user_deleted_meanwhile_is_wrong(manager, user, monkeypatch):
    users = type(get_user_model()._default_manager)
    find = users.get_by_natural_key

    def find_and_lose(self, username):
        found = find(self, username)
        get_user_model()._default_manager.filter(pk=found.pk).delete()
        return found

    monkeypatch.setattr(users, "get_by_natural_key", find_and_lose)
    before = rows()
    response = send(manager, "POST", body={"user": "ada"})
    assert_refused(response, 400, "no_user", "no longer exists")
    assert rows() == before


# Secrets


def test_secret_is_in_the_answer_and_nowhere_else(manager, user, caplog):
    caplog.set_level("DEBUG")
    response = send(manager, "POST", body={"user": "ada"})
    secret = response.json()["api_secret"]
    assert secret not in str(response.headers)
    assert secret not in str(response.cookies)
    assert secret not in caplog.text
    assert secret not in repr(rows())
    assert secret not in repr(response.data)
    assert secret not in repr(list(LogEntry.objects.values()))
    assert_tells_no_secret(send(manager, "GET", response.json()["api_key"]))
