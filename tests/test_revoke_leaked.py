"""Ending a leaked key by its pair alone."""

from datetime import datetime, timedelta

import pytest
import time_machine

from frappe_tokens import crypto
from frappe_tokens.keys import (
    generate_keys,
    revoke,
    revoke_leaked,
)
from frappe_tokens.keys import locking as rows_module
from frappe_tokens.models import ApiKey

pytestmark = pytest.mark.django_db

NOON = datetime.fromisoformat("2030-02-28T12:00:00+00:00")
HOUR = timedelta(hours=1)


def test_pair_that_works_is_ended(keys):
    assert revoke_leaked(keys.api_key, keys.api_secret)
    key = ApiKey.objects.get()
    assert key.is_revoked
    assert (key.revoked_by, key.revoked_reason) == (None, "Reported as leaked.")
    assert not revoke_leaked(keys.api_key, keys.api_secret)


def test_wrong_secret_and_unknown_key_change_nothing(keys):
    before = list(ApiKey.objects.values())
    assert not revoke_leaked(keys.api_key, crypto.generate_api_secret())
    assert not revoke_leaked("ftk_unknown", keys.api_secret)
    assert list(ApiKey.objects.values()) == before


def test_older_secret_counts_until_its_grace_ends(keys):
    with time_machine.travel(NOON, tick=False) as clock:
        generate_keys(keys.instance.user, grace=HOUR)
        clock.move_to(NOON + HOUR)
        assert not revoke_leaked(keys.api_key, keys.api_secret)
        clock.move_to(NOON + HOUR - timedelta(microseconds=1))
        assert revoke_leaked(keys.api_key, keys.api_secret)


@pytest.mark.parametrize("change", ["rotate", "delete"])
def test_secret_that_was_replaced_meanwhile_ends_nothing(keys, monkeypatch, change):
    """Between the comparison and the lock, another process was faster."""

    def lock_after_another_process(*args):
        if change == "rotate":
            generate_keys(keys.instance.user)
        else:
            ApiKey.objects.all().delete()
        return rows_module.lock_rows(*args)

    monkeypatch.setattr("frappe_tokens.keys.changes.lock_rows", lock_after_another_process)
    assert not revoke_leaked(keys.api_key, keys.api_secret)
    assert [key.is_revoked for key in ApiKey.objects.all()] == [False] * (change == "rotate")


def test_revoked_key_is_not_ended_again(keys):
    revoke(keys.instance, reason="the first")
    assert not revoke_leaked(keys.api_key, keys.api_secret)
    assert ApiKey.objects.get().revoked_reason == "the first"
