"""``POST keys/{api_key}/disable/`` and ``enable/``."""

import pytest

from frappe_tokens.keys import revoke

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
