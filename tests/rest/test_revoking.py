"""``DELETE keys/{api_key}/``."""

import pytest
from django.contrib.admin.models import LogEntry

from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey

from .conftest import assert_refused, assert_wrong, rows, send, works

pytestmark = pytest.mark.django_db


def assert_revoked(response, key, reason=""):
    assert response.status_code == 204, response.content
    assert response.content == b""
    stored = ApiKey.objects.get(pk=key.instance.pk)
    assert stored.is_revoked
    assert stored.revoked_reason == reason
    assert not works(key.api_key, key.api_secret)


@pytest.mark.parametrize("slash", ["", "/"])
def test_revokes_and_keeps_the_row(manager, keys, slash):
    assert_revoked(send(manager, "DELETE", keys.api_key + slash), keys)
    assert ApiKey.objects.get(pk=keys.instance.pk).revoked_by == manager.instance.user
    noted = LogEntry.objects.get(content_type__model="apikey")
    assert "Revoked" in noted.change_message


def test_reason_comes_with_the_query_or_the_body(manager, user):
    for name, query, body, reason in [
        ("a", "?reason=laptop%20stolen", None, "laptop stolen"),
        ("b", "", {"reason": "laptop stolen"}, "laptop stolen"),
        ("c", "?reason=query", {"reason": "body"}, "body"),
        ("d", "?reason=", None, ""),
        ("e", "", {"reason": ""}, ""),
        ("f", "?because=x", {}, ""),
        ("g", "", {"reason": "x" * 200}, "x" * 200),
    ]:
        key = generate_keys(user, name=name)
        assert_revoked(send(manager, "DELETE", f"{key.api_key}/{query}", body), key, reason)


def test_revoking_again_changes_nothing(manager, keys):
    send(manager, "DELETE", f"{keys.api_key}/?reason=first")
    before = rows()
    assert_revoked(send(manager, "DELETE", f"{keys.api_key}/?reason=second"), keys, "first")
    assert rows() == before


@pytest.mark.parametrize("reason", [None, 1, True, [], {}, "x" * 201, "\x00", "\ud800"], ids=ascii)
def test_unusable_reason_is_wrong(manager, keys, reason):
    before = rows()
    assert_wrong(send(manager, "DELETE", keys.api_key, {"reason": reason}), "reason")
    assert rows() == before


@pytest.mark.parametrize("reason", ["%00", "x" * 201])
def test_unusable_reason_in_the_query_is_wrong(manager, keys, reason):
    assert_wrong(send(manager, "DELETE", f"{keys.api_key}/?reason={reason}"), "reason")
    assert works(keys.api_key, keys.api_secret)


def test_unknown_field_is_refused(manager, keys):
    assert_wrong(send(manager, "DELETE", keys.api_key, {"why": "x"}), "why")
    assert_wrong(send(manager, "DELETE", keys.api_key, ["x"]), "non_field_errors")
    assert works(keys.api_key, keys.api_secret)


def test_manager_may_end_a_superusers_key(manager, root):
    assert_revoked(send(manager, "DELETE", root.api_key), root)


def test_user_who_serves_themselves_may_end_their_key(keys, self_service):
    assert_revoked(send(keys, "DELETE", keys.api_key), keys)


def test_others_may_not_end_even_their_own(manager, keys):
    before = rows()
    response = send(keys, "DELETE", keys.api_key)
    assert_refused(
        response, 403, "permission_denied", "You don't have permission to revoke API keys."
    )
    assert rows() == before
