"""``PATCH`` and ``DELETE keys/{api_key}/``, and ``rotate/``, ``disable/`` and ``enable/``."""

from datetime import timedelta

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.test import Client

from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey

from .conftest import (
    FIELDS,
    NOW,
    after_lookup,
    assert_no_secret,
    assert_refused,
    assert_unchanged,
    assert_wrong,
    send,
    works,
)

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "deploy"},
        {"name": ""},
        {"scopes": ["todos", "events"]},
        {"scopes": []},
        {"read_only": True},
        {"allowed_ips": ["127.0.0.0/8", "2001:db8::/32"]},
        {"rate_limit": "5/minute"},
        {"rate_limit": ""},
        {"self_rotate": True},
        {"description": "Nightly build"},
        {"metadata": {"team": "ops", "cost": [1, None, {"ä": 0.5}]}},
        {"expires_at": "2100-01-01T00:00:00Z"},
        {"expires_at": None},
        {"name": "deploy", "scopes": ["todos"], "read_only": True, "rate_limit": "5/minute"},
    ],
    ids=str,
)
def test_policies_and_name_can_be_changed(manager, keys, changes):
    before = send(manager, "GET", keys.api_key).json()
    (stored,) = ApiKey.objects.filter(pk=keys.instance.pk).values()

    response = send(manager, "PATCH", f"{keys.api_key}/", changes)

    assert response.status_code == 200, response.content
    assert_no_secret(response)
    assert response.json() == {**before, **changes}
    assert set(response.json()) == FIELDS
    (changed,) = ApiKey.objects.filter(pk=keys.instance.pk).values()
    different = {name for name in stored if changed[name] != stored[name]}
    assert different - {"lifetime"} <= set(changes)
    assert ("lifetime" in different) == bool(changes.get("expires_at"))
    entry = LogEntry.objects.get(content_type__model="apikey")
    assert (entry.user, entry.object_id) == (manager.instance.user, str(keys.instance.pk))
    with assert_unchanged():
        assert send(manager, "PATCH", keys.api_key, changes).content == response.content


def test_empty_body_changes_nothing(manager, keys):
    for body in (None, {}):
        with assert_unchanged():
            response = send(manager, "PATCH", keys.api_key, body)
        assert response.status_code == 200
        assert response.json() == send(manager, "GET", keys.api_key).json()
    assert not LogEntry.objects.exists()


def test_taken_name_and_revoked_key_are_conflicts(manager, keys, user):
    generate_keys(user, name="deploy")

    with assert_unchanged():
        taken = send(manager, "PATCH", keys.api_key, {"name": "deploy", "read_only": True})
    revoke(keys.instance)
    with assert_unchanged():
        revoked = send(manager, "PATCH", keys.api_key, {})

    assert_refused(taken, 409, "name_taken", "already")
    assert_refused(revoked, 409, "key_revoked", "which is final")


def test_key_of_an_inactive_user_may_be_narrowed(manager, keys, user):
    user.is_active = False
    user.save()

    response = send(manager, "PATCH", keys.api_key, {"read_only": True})

    assert (response.status_code, response.json()["read_only"]) == (200, True)


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


def test_unusable_grace_periods_are_refused(manager, keys):
    with assert_unchanged():
        for grace in UNUSABLE:
            assert_wrong(rotate(manager, keys, b'{"grace": %s}' % grace), "grace")
        for grace in NO_JSON:
            assert_refused(rotate(manager, keys, b'{"grace": %s}' % grace), 400, "parse_error")
        for name in ("api_secret", "name", "token"):
            assert_wrong(rotate(manager, keys, {"grace": 60, name: "mine"}), name)


@pytest.mark.parametrize(
    "body",
    [{"expires_at": "2026-02-01T12:00:00Z"}, {"expires_in": 86400}, {"expires_in": 86400.0}],
    ids=str,
)
def test_expired_key_is_renewed(keys, root, body):
    ApiKey.objects.filter(pk=keys.instance.pk).update(expires_at=NOW)

    with time_machine.travel(NOW, tick=False):
        response = rotate(root, keys, body)

        assert_rotated(response, keys)
    assert response.json()["expires_at"] == "2026-02-01T12:00:00Z"


def test_user_may_renew_their_own_key_but_not_extend_it(keys, user, self_service):
    session = Client()
    session.force_login(user)
    body, options = {"expires_at": "2100-01-01T00:00:00Z"}, {"content_type": "application/json"}
    ApiKey.objects.update(expires_at=NOW)

    patched = session.patch(f"/api/keys/{keys.api_key}/", body, **options)
    rotated = session.post(f"/api/keys/{keys.api_key}/rotate/", body, **options)

    assert_refused(patched, 403, "permission_denied", "You can't extend")
    assert_rotated(rotated, keys)
    assert rotated.json()["expires_at"] == body["expires_at"]


def test_unusable_expiries_are_refused(manager, keys, settings):
    settings.FRAPPE_TOKENS = {"MAX_LIFETIME": timedelta(days=1)}
    at, within = "expires_at", "expires_in"
    with assert_unchanged(), time_machine.travel(NOW, tick=False):
        for seconds in (*UNUSABLE, b"0", b"3153600001"):
            assert_wrong(rotate(manager, keys, b'{"expires_in": %s}' % seconds), within)
        for value in (None, 60, "", "2026-02-01T00:00:00", "2026-01-31T12:00:00Z"):
            assert_wrong(rotate(manager, keys, {at: value}), at)
        late = {at: "2026-02-01T12:00:01Z", within: 86401}
        for name, value in late.items():
            assert_wrong(rotate(manager, keys, {name: value}), name, sentence="must expire by")
        both = {at: "2026-02-01T00:00:00Z", within: 60}
        assert_wrong(rotate(manager, keys, both), within, sentence="not both")


def test_key_that_was_just_revoked_is_a_conflict(manager, keys):
    with after_lookup("ORDER BY", lambda: revoke(keys.instance)):
        response = rotate(manager, keys)

    assert_refused(response, 409, "key_revoked", "Generate a new key.")
    assert ApiKey.objects.get(user=keys.instance.user).is_revoked


@pytest.mark.parametrize(
    ("method", "action", "body"),
    [("POST", "/rotate/", None), ("PATCH", "/", {"name": "x"}), ("DELETE", "/", None)],
)
def test_key_that_was_just_deleted_is_not_found(manager, keys, method, action, body):
    with after_lookup("ORDER BY", lambda: ApiKey.objects.filter(pk=keys.instance.pk).delete()):
        response = send(manager, method, keys.api_key + action, body)

    if method == "DELETE":
        assert response.status_code == 204
    else:
        assert_refused(response, 404, "no_key")
        unknown = send(manager, method, "ftk_0000000000000000" + action, body)
        assert unknown.content == response.content
    assert not ApiKey.objects.filter(user=keys.instance.user).exists()


def assert_revoked(response, key, reason=""):
    assert response.status_code == 204, response.content
    assert response.content == b""
    stored = ApiKey.objects.get(pk=key.instance.pk)
    assert stored.is_revoked
    assert stored.revoked_reason == reason
    assert not works(key.api_key, key.api_secret)


@pytest.mark.parametrize("slash", ["", "/"])
def test_row_of_a_revoked_key_stays(manager, keys, slash):
    path = f"{keys.api_key}{slash}"
    assert_revoked(send(manager, "DELETE", f"{path}?reason=first"), keys, "first")

    assert ApiKey.objects.get(pk=keys.instance.pk).revoked_by == manager.instance.user
    entry = LogEntry.objects.get(content_type__model="apikey")
    assert "Revoked" in entry.change_message
    with assert_unchanged():
        assert_revoked(send(manager, "DELETE", f"{path}?reason=second"), keys, "first")


@pytest.mark.parametrize(
    ("query", "body", "reason"),
    [
        ("?reason=laptop%20stolen", None, "laptop stolen"),
        ("", {"reason": "laptop stolen"}, "laptop stolen"),
        ("?reason=query", {"reason": "body"}, "body"),
        ("?reason=", None, ""),
        ("", {"reason": ""}, ""),
        ("?because=x", {}, ""),
        ("", {"reason": "x" * 200}, "x" * 200),
    ],
)
def test_reason_is_in_the_query_or_the_body(manager, keys, query, body, reason):
    assert_revoked(send(manager, "DELETE", f"{keys.api_key}/{query}", body), keys, reason)


def test_unusable_reason_is_refused(manager, keys):
    def revoke(query="", body=None):
        return send(manager, "DELETE", f"{keys.api_key}/{query}", body)

    with assert_unchanged():
        for reason in (None, 1, True, [], {}, "x" * 201, "\x00", "\ud800"):
            assert_wrong(revoke(body={"reason": reason}), "reason")
        assert_wrong(revoke("?reason=%00"), "reason")
        assert_wrong(revoke(f"?reason={'x' * 201}"), "reason")
        assert_wrong(revoke(body={"why": "x"}), "why")


@pytest.mark.parametrize("slash", ["", "/"])
def test_key_is_refused_until_it_is_enabled_again(manager, keys, slash):
    for action, is_disabled in (("disable", True), ("enable", False)):
        for _again in range(2):
            response = send(manager, "POST", f"{keys.api_key}/{action}{slash}")

            assert response.status_code == 200, response.content
            assert set(response.json()) == FIELDS
            assert (response.json()["disabled_at"] is not None) is is_disabled
            assert_no_secret(response)
            assert works(keys.api_key, keys.api_secret) is not is_disabled
    assert send(manager, "GET", f"{keys.api_key}/disable/").status_code == 405


@pytest.mark.parametrize("action", ["disable", "enable"])
def test_revoked_key_and_a_body_are_refused(manager, keys, action):
    with assert_unchanged():
        assert_wrong(send(manager, "POST", f"{keys.api_key}/{action}/", {"reason": "x"}), "reason")
    revoke(keys.instance)
    with assert_unchanged():
        revoked = send(manager, "POST", f"{keys.api_key}/{action}/")

    assert_refused(revoked, 409, "key_revoked", "final")
