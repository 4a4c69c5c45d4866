"""``DELETE keys/{api_key}/``."""

import pytest
from django.contrib.admin.models import LogEntry

from frappe_tokens.models import ApiKey

from .conftest import assert_unchanged, assert_wrong, send, works

pytestmark = pytest.mark.django_db


def assert_revoked(response, key, reason=""):
    assert response.status_code == 204, response.content
    assert response.content == b""
    stored = ApiKey.objects.get(pk=key.instance.pk)
    assert stored.is_revoked
    assert stored.revoked_reason == reason
    assert not works(key.api_key, key.api_secret)


@pytest.mark.parametrize("slash", ["", "/"])
def test_row_of_a_revoked_key_stays(manager, keys, slash):
    assert_revoked(send(manager, "DELETE", keys.api_key + slash), keys)

    assert ApiKey.objects.get(pk=keys.instance.pk).revoked_by == manager.instance.user
    entry = LogEntry.objects.get(content_type__model="apikey")
    assert "Revoked" in entry.change_message


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


def test_revoking_again_changes_nothing(manager, keys):
    send(manager, "DELETE", f"{keys.api_key}/?reason=first")

    with assert_unchanged():
        assert_revoked(send(manager, "DELETE", f"{keys.api_key}/?reason=second"), keys, "first")


def test_unusable_reason_is_refused(manager, keys):
    def revoke(query="", body=None):
        return send(manager, "DELETE", f"{keys.api_key}/{query}", body)

    with assert_unchanged():
        for reason in (None, 1, True, [], {}, "x" * 201, "\x00", "\ud800"):
            assert_wrong(revoke(body={"reason": reason}), "reason")
        assert_wrong(revoke("?reason=%00"), "reason")
        assert_wrong(revoke(f"?reason={'x' * 201}"), "reason")
        assert_wrong(revoke(body={"why": "x"}), "why")
