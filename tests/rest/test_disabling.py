"""``POST keys/{api_key}/disable/`` and ``enable/``."""

import pytest

from frappe_tokens.keys import disable, generate_keys, revoke
from frappe_tokens.models import ApiKey

from .conftest import (
    FIELDS,
    assert_no_secret,
    assert_refused,
    assert_unchanged,
    assert_wrong,
    send,
    works,
)

pytestmark = pytest.mark.django_db


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


def test_disabled_key_is_not_rotated(manager, keys):
    disable(keys.instance)

    response = send(manager, "POST", f"{keys.api_key}/rotate/")

    assert_refused(response, 400, "key_disabled", "Enable it")


def test_users_enable_what_they_disabled(keys, user, self_service):
    by = generate_keys(user, name="other")
    calls = [send(by, "POST", f"{keys.api_key}/{action}/") for action in ("disable", "enable")]
    disable(keys.instance)
    refused = send(by, "POST", f"{keys.api_key}/enable/")

    assert [call.status_code for call in calls] == [200, 200]
    assert_refused(refused, 403, "permission_denied", "someone else")
    assert ApiKey.objects.get(pk=keys.instance.pk).is_disabled


@pytest.mark.parametrize(
    "metadata", [None, [], "ops", {"a b": 1}, {"a": "x" * 4096}, {"a": "\0"}, {"a": "fts_{}"}]
)
def test_unusable_metadata_is_refused(manager, keys, metadata):
    if metadata == {"a": "fts_{}"}:
        metadata = {"a": keys.api_secret}

    for method, path in (("PATCH", keys.api_key), ("POST", "")):
        with assert_unchanged():
            assert_wrong(send(manager, method, path, {"metadata": metadata}), "metadata")
