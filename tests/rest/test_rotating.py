"""``POST keys/{api_key}/rotate/``."""

from datetime import datetime, timedelta, timezone

import pytest
import time_machine
from django.db import connection

from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey

from .conftest import FIELDS, assert_refused, assert_wrong, rows, send, works

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


def rotate(by, key, body=None):
    return send(by, "POST", f"{key.api_key}/rotate/", body)


def assert_rotated(response, key):
    assert response.status_code == 200, response.content
    body = response.json()
    assert set(body) == FIELDS | {"api_secret"}
    assert "no-store" in response["Cache-Control"]
    assert body["api_key"] == key.api_key
    assert body["api_secret"] != key.api_secret
    assert works(body["api_key"], body["api_secret"])


@pytest.mark.parametrize("slash", ["", "/"])
def test_gives_a_new_secret(manager, keys, slash):
    response = send(manager, "POST", f"{keys.api_key}/rotate{slash}")
    assert_rotated(response, keys)
    assert not works(keys.api_key, keys.api_secret)
    assert response["Cache-Control"]


def test_changes_nothing_else(manager, user):
    named = generate_keys(user, name="deploy", allowed_ips=["127.0.0.0/8"], rate_limit="5/m")
    generate_keys(user)
    before = rows()
    assert_rotated(rotate(manager, named), named)
    changed = {
        (row["api_key"], name)
        for row, then in zip(rows(), before, strict=True)
        for name in row
        if row[name] != then[name]
    }
    assert changed == {(named.api_key, "secret_digest"), (named.api_key, "rotated_at")}


@pytest.mark.parametrize("grace", [60, 60.0, 59.5])
def test_old_secret_works_until_the_grace_ends(manager, keys, grace):
    with time_machine.travel(NOW, tick=False):
        assert_rotated(rotate(manager, keys, {"grace": grace}), keys)
        assert ApiKey.objects.get(pk=keys.instance.pk).previous_expires_at == NOW + timedelta(
            seconds=grace
        )
        assert works(keys.api_key, keys.api_secret)
    with time_machine.travel(NOW + timedelta(seconds=60), tick=False):
        assert not works(keys.api_key, keys.api_secret)


def test_grace_is_the_projects_where_none_is_asked_for(manager, keys, settings):
    settings.FRAPPE_TOKENS = {"ROTATION_GRACE": timedelta(hours=1)}
    again = rotate(manager, keys, {})
    assert_rotated(again, keys)
    assert works(keys.api_key, keys.api_secret)
    assert_rotated(rotate(manager, keys, {"grace": 0}), keys)
    assert not works(keys.api_key, again.json()["api_secret"])


@pytest.mark.parametrize(
    "grace",
    [
        b"-1",
        b"-0.001",
        b"315360000.1",
        b"1e30",
        b"1e999",
        b"-1e999",
        b"9" * 400,
        b"true",
        b"false",
        b"null",
        b'""',
        b'"60"',
        b'"\\ud800"',
        b'"\\u0000"',
        b"[]",
        b"[60]",
        b"{}",
        b'{"seconds": 60}',
    ],
)
def test_unusable_grace_is_wrong(manager, keys, grace):
    before = rows()
    path = f"{keys.api_key}/rotate/"
    assert_wrong(send(manager, "POST", path, b'{"grace": ' + grace + b"}"), "grace")
    assert rows() == before


@pytest.mark.parametrize("grace", [b"NaN", b"Infinity", b"-Infinity", b"9" * 5000, b"0x10", b"1_0"])
def test_grace_that_is_no_json_is_a_parse_error(manager, keys, grace):
    before = rows()
    path = f"{keys.api_key}/rotate/"
    response = send(manager, "POST", path, b'{"grace": ' + grace + b"}")
    assert_refused(response, 400, "parse_error")
    assert rows() == before


@pytest.mark.parametrize("name", ["api_secret", "name", "expires_at", "scopes", "token"])
def test_nothing_else_may_be_asked_for(manager, keys, name):
    before = rows()
    assert_wrong(rotate(manager, keys, {"grace": 60, name: "mine"}), name)
    assert rows() == before


def test_revoked_key_is_a_conflict(manager, keys):
    revoke(keys.instance)
    before = rows()
    assert_refused(rotate(manager, keys), 409, "key_revoked", "Generate a new key.")
    assert rows() == before


def meanwhile(what):
    """Does ``what`` after the request has found the key, and before it has locked it."""
    waiting = [what]

    def act(execute, sql, params, many, context):
        if "frappe_tokens_apikey" in sql and "ORDER BY" in sql and waiting:
            result = execute(sql, params, many, context)
            waiting.pop()()
            return result
        return execute(sql, params, many, context)

    return connection.execute_wrapper(act)


def test_key_that_is_revoked_meanwhile_is_a_conflict_and_none_is_made(manager, keys):
    with meanwhile(lambda: revoke(keys.instance)):
        response = rotate(manager, keys)
    assert_refused(response, 409, "key_revoked")
    assert ApiKey.objects.filter(user=keys.instance.user).count() == 1
    assert ApiKey.objects.get(pk=keys.instance.pk).is_revoked


@pytest.mark.parametrize(
    ("method", "action"), [("POST", "/rotate/"), ("PATCH", "/"), ("DELETE", "/")]
)
def test_key_that_is_deleted_meanwhile_is_404_or_gone(manager, keys, method, action):
    body = {"name": "x"} if method == "PATCH" else None
    with meanwhile(lambda: ApiKey.objects.filter(pk=keys.instance.pk).delete()):
        response = send(manager, method, keys.api_key + action, body)
    if method == "DELETE":
        assert response.status_code == 204
    else:
        assert_refused(response, 404, "no_key")
        never = send(manager, method, "ftk_0000000000000000" + action, body)
        assert never.content == response.content
    assert not ApiKey.objects.filter(user=keys.instance.user).exists()


def test_expired_key_is_refused(manager, keys):
    ApiKey.objects.filter(pk=keys.instance.pk).update(expires_at=NOW)
    before = rows()
    with time_machine.travel(NOW, tick=False):
        assert_refused(rotate(manager, keys), 400, "key_expired", "Change its expiry or revoke it")
    assert rows() == before


def test_key_of_an_inactive_user_is_refused(manager, keys, user):
    user.is_active = False
    user.save()
    before = rows()
    assert_refused(rotate(manager, keys), 400, "user_inactive")
    assert rows() == before


def test_user_who_serves_themselves_may_rotate_their_key(keys, self_service):
    assert_rotated(rotate(keys, keys), keys)


def test_secret_is_in_the_answer_and_nowhere_else(manager, keys, caplog):
    caplog.set_level("DEBUG")
    response = rotate(manager, keys, {"grace": 60})
    secret = response.json()["api_secret"]
    for place in (str(response.headers), str(response.cookies), caplog.text, repr(rows())):
        assert secret not in place
    assert secret not in repr(response.data)
