"""``PATCH keys/{api_key}/``."""

import pytest
from django.contrib.admin.models import LogEntry

from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey

from .conftest import (
    FIELDS,
    assert_no_secret,
    assert_refused,
    assert_unchanged,
    send,
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
    assert {name for name in stored if changed[name] != stored[name]} <= set(changes)
    entry = LogEntry.objects.get(content_type__model="apikey")
    assert (entry.user, entry.object_id) == (manager.instance.user, str(keys.instance.pk))
    with assert_unchanged():
        assert send(manager, "PATCH", keys.api_key, changes).content == response.content


@pytest.mark.parametrize("body", [None, {}])
def test_empty_body_changes_nothing(manager, keys, body):
    with assert_unchanged():
        response = send(manager, "PATCH", keys.api_key, body)

    assert response.status_code == 200
    assert response.json() == send(manager, "GET", keys.api_key).json()
    assert not LogEntry.objects.exists()


# The fields are those of a new key.


def test_conflicts(manager, keys, user):
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
