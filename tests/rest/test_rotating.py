"""``POST keys/{api_key}/rotate/``."""

from datetime import timedelta

import pytest
import time_machine
from django.db import connection

from frappe_tokens.keys import revoke
from frappe_tokens.models import ApiKey

from .conftest import (
    FIELDS,
    NOW,
    assert_refused,
    assert_unchanged,
    assert_wrong,
    send,
    works,
)

pytestmark = pytest.mark.django_db


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
def test_new_secret_replaces_the_old_one(manager, keys, slash):
    assert_rotated(send(manager, "POST", f"{keys.api_key}/rotate{slash}"), keys)

    assert not works(keys.api_key, keys.api_secret)


@pytest.mark.parametrize("grace", [60, 59.5])
def test_old_secret_works_until_the_grace_period_ends(manager, keys, grace):
    with time_machine.travel(NOW, tick=False):
        assert_rotated(rotate(manager, keys, {"grace": grace}), keys)
        key = ApiKey.objects.get(pk=keys.instance.pk)
        assert key.previous_expires_at == NOW + timedelta(seconds=grace)
        assert works(keys.api_key, keys.api_secret)

    with time_machine.travel(NOW + timedelta(seconds=60), tick=False):
        assert not works(keys.api_key, keys.api_secret)


UNUSABLE = [
    *(b"-1", b"-0.001", b"315360000.1", b"1e30", b"1e999", b"-1e999", b"9" * 400),
    *(b"true", b"false", b"null", b'""', b'"60"', b'"\\ud800"', b"[]", b"[60]", b"{}"),
]
NO_JSON = [b"NaN", b"-Infinity", b"9" * 5000, b"0x10", b"1_0"]


def test_unusable_values_are_refused(manager, keys):
    with assert_unchanged():
        for grace in UNUSABLE:
            assert_wrong(rotate(manager, keys, b'{"grace": %s}' % grace), "grace")
        for grace in NO_JSON:
            assert_refused(rotate(manager, keys, b'{"grace": %s}' % grace), 400, "parse_error")
        for name in ("api_secret", "name", "expires_at", "token"):
            assert_wrong(rotate(manager, keys, {"grace": 60, name: "mine"}), name)


def interrupt(action):
    """Run ``action`` after the request has found the key, and before it locks it."""
    pending = [action]

    def execute_then_act(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if "frappe_tokens_apikey" in sql and "ORDER BY" in sql and pending:
            pending.pop()()
        return result

    return connection.execute_wrapper(execute_then_act)


def test_key_that_was_just_revoked_is_a_conflict(manager, keys):
    with interrupt(lambda: revoke(keys.instance)):
        response = rotate(manager, keys)

    assert_refused(response, 409, "key_revoked", "Generate a new key.")
    assert ApiKey.objects.get(user=keys.instance.user).is_revoked


@pytest.mark.parametrize(
    ("method", "action", "body"),
    [("POST", "/rotate/", None), ("PATCH", "/", {"name": "x"}), ("DELETE", "/", None)],
)
def test_key_that_was_just_deleted_is_not_found(manager, keys, method, action, body):
    with interrupt(lambda: ApiKey.objects.filter(pk=keys.instance.pk).delete()):
        response = send(manager, method, keys.api_key + action, body)

    if method == "DELETE":
        assert response.status_code == 204
    else:
        assert_refused(response, 404, "no_key")
        unknown = send(manager, method, "ftk_0000000000000000" + action, body)
        assert unknown.content == response.content
    assert not ApiKey.objects.filter(user=keys.instance.user).exists()


@pytest.mark.parametrize("code", ["key_expired", "user_inactive"])
def test_unusable_key_is_refused(manager, keys, user, code):
    if code == "key_expired":
        ApiKey.objects.filter(pk=keys.instance.pk).update(expires_at=NOW)
    else:
        user.is_active = False
        user.save()

    with assert_unchanged():
        response = rotate(manager, keys)

    assert_refused(response, 400, code)
