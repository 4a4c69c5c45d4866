"""``PATCH keys/{api_key}/``."""

from datetime import datetime, timedelta, timezone

import pytest
import time_machine
from django.contrib.admin.models import LogEntry

from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey

from .conftest import FIELDS, assert_refused, assert_no_secret, assert_wrong, rows, send
from .test_making import UNUSABLE

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


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
        {"expires_at": "2100-01-01T00:00:00Z"},
        {"expires_at": None},
        {"name": "deploy", "scopes": ["todos"], "read_only": True, "rate_limit": "5/minute"},
    ],
    ids=str,
)
def test_changes_what_a_key_may_do(manager, keys, changes):
    before = send(manager, "GET", keys.api_key).json()
    (stored,) = ApiKey.objects.filter(pk=keys.instance.pk).values()
    response = send(manager, "PATCH", f"{keys.api_key}/", changes)
    assert response.status_code == 200, response.content
    assert_no_secret(response)
    assert response.json() == {**before, **changes}
    assert set(response.json()) == FIELDS
    assert send(manager, "GET", keys.api_key).json() == response.json()
    (now,) = ApiKey.objects.filter(pk=keys.instance.pk).values()
    assert {name for name in stored if now[name] != stored[name]} <= set(changes)
    again = send(manager, "PATCH", keys.api_key, changes)
    assert (again.status_code, again.content) == (200, response.content)


def test_change_is_in_the_history(manager, keys):
    send(manager, "PATCH", keys.api_key, {"read_only": True})
    noted = LogEntry.objects.get(content_type__model="apikey")
    assert (noted.user, noted.object_id) == (manager.instance.user, str(keys.instance.pk))
    assert "read-only" in noted.change_message


@pytest.mark.parametrize("body", [None, {}])
def test_no_change_changes_nothing(manager, keys, body):
    before = rows()
    response = send(manager, "PATCH", keys.api_key, body)
    assert response.status_code == 200
    assert response.json() == send(manager, "GET", keys.api_key).json()
    assert rows() == before
    assert not LogEntry.objects.exists()


def test_no_expiry_is_the_default_one(manager, user, settings):
    settings.FRAPPE_TOKENS = {"DEFAULT_LIFETIME": timedelta(days=30)}
    with time_machine.travel(NOW, tick=False):
        keys = generate_keys(user, expires_at=NOW + timedelta(days=1))
        response = send(manager, "PATCH", keys.api_key, {"expires_at": None})
        assert response.json()["expires_at"] == "2026-03-02T12:00:00Z"


@pytest.mark.parametrize(
    "name",
    [
        "user",
        "api_key",
        "api_secret",
        "secret_digest",
        "created_at",
        "created_by",
        "revoked_at",
        "revoked_reason",
        "last_used_at",
        "last_used_ip",
        "rotated_at",
        "live",
        "id",
    ],
)
def test_read_only_fields_are_refused(manager, keys, name):
    before = rows()
    for value in ("manager", None, True):
        body = {"read_only": True, name: value}
        assert_wrong(send(manager, "PATCH", keys.api_key, body), name, sentence="read-only")
    assert rows() == before


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, value in UNUSABLE if name != "user"],
    ids=lambda value: ascii(value)[:30],
)
def test_unusable_values_are_wrong(manager, keys, name, value):
    before = rows()
    assert_wrong(send(manager, "PATCH", keys.api_key, {name: value}), name)
    assert rows() == before


def test_unknown_field_is_refused(manager, keys):
    response = send(manager, "PATCH", keys.api_key, {"readonly": True})
    assert_wrong(response, "readonly", sentence="There is no such field.")


def test_expiry_beyond_the_longest_lifetime_is_wrong(manager, keys, settings):
    settings.FRAPPE_TOKENS = {"MAX_LIFETIME": timedelta(days=30)}
    before = rows()
    body = {"expires_at": "9999-12-31T23:59:59Z"}
    assert_wrong(send(manager, "PATCH", keys.api_key, body), "expires_at")
    assert rows() == before


def test_name_that_is_taken_is_a_conflict(manager, keys, user):
    generate_keys(user, name="deploy")
    before = rows()
    response = send(manager, "PATCH", keys.api_key, {"name": "deploy", "read_only": True})
    assert_refused(response, 409, "name_taken", "already")
    assert rows() == before


@pytest.mark.parametrize("body", [{}, {"read_only": True}, {"name": "x"}])
def test_revoked_key_is_a_conflict(manager, keys, body):
    revoke(keys.instance)
    before = rows()
    response = send(manager, "PATCH", keys.api_key, body)
    assert_refused(response, 409, "key_revoked", "which is final")
    assert rows() == before


def test_key_of_an_inactive_user_may_be_narrowed(manager, keys, user):
    user.is_active = False
    user.save()
    response = send(manager, "PATCH", keys.api_key, {"read_only": True})
    assert (response.status_code, response.json()["read_only"]) == (200, True)


def test_user_who_serves_themselves_may_narrow_their_key(keys, self_service):
    response = send(keys, "PATCH", keys.api_key, {"allowed_ips": ["127.0.0.0/8"], "name": "cli"})
    assert response.status_code == 200
    key = ApiKey.objects.get()
    assert (key.allowed_ips, key.name) == (["127.0.0.0/8"], "cli")


def test_put_is_no_way_to_change_a_key(manager, keys):
    before = rows()
    response = send(manager, "PUT", keys.api_key, {"name": "x"})
    assert_refused(response, 405, "method_not_allowed")
    assert rows() == before
