"""Rotating without downtime: both secrets work within the grace period, and one after its end."""

from __future__ import annotations

import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
import time_machine
from django.core.exceptions import PermissionDenied, ValidationError

from frappe_tokens.keys import (
    Actor,
    GeneratedKeys,
    change_key,
    generate_keys,
    generate_keys_for_source,
    generate_keys_for_users,
    plan_for,
)
from frappe_tokens.models import ApiKey

from .client import HOUR, NOON, TICK, WHO, ask
from .conftest import token_header


def works(keys):
    return ask(keys).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("cached", [False, True])
def test_both_secrets_work_until_the_very_end_of_the_grace(keys, settings, cached):
    settings.FRAPPE_TOKENS = {"CACHE": "default" if cached else None}
    with time_machine.travel(NOON, tick=False) as clock:
        rotated = generate_keys(keys.instance.user, grace=HOUR)
        for moment, expected in [(NOON, True), (NOON + HOUR - TICK, True), (NOON + HOUR, False)]:
            clock.move_to(moment)
            assert (works(keys), works(rotated)) == (expected, True)


@pytest.mark.django_db(transaction=True)
def test_use_of_the_old_secret_is_on_record(keys):
    with time_machine.travel(NOON, tick=False) as clock:
        rotated = generate_keys(keys.instance.user, grace=HOUR)
        works(rotated)
        assert ApiKey.objects.get().previous_used_at is None
        clock.shift(HOUR / 2)
        works(keys)
        clock.shift(timedelta(minutes=10))
        works(rotated)
    stored = ApiKey.objects.get()
    assert stored.previous_used_at == NOON + HOUR / 2
    assert stored.last_used_at == NOON + HOUR / 2 + timedelta(minutes=10)


RENEWALS = {
    "user": lambda key, **options: generate_keys(key.user, **options),
    "users": lambda key, **options: generate_keys_for_users([key.user], **options)[0],
    "row": generate_keys_for_source,
}
each_renewal = pytest.mark.parametrize("renew", RENEWALS.values(), ids=RENEWALS)


@pytest.mark.django_db
@each_renewal
def test_expired_key_is_renewed_with_a_new_secret(user, settings, renew):
    settings.FRAPPE_TOKENS = {"MAX_LIFETIME": 2 * HOUR}
    with time_machine.travel(NOON, tick=False) as clock:
        old = generate_keys(user, expires_at=NOON + HOUR)
        clock.move_to(NOON + HOUR)
        for expires_at in (None, NOON + HOUR, NOON + 3 * HOUR + TICK):
            with pytest.raises(ValidationError):
                renew(old.instance, expires_at=expires_at)

        new = renew(old.instance, expires_at=NOON + 3 * HOUR)

        assert new.instance.expires_at == NOON + 3 * HOUR
        assert (works(new), works(old)) == (True, False)


@pytest.mark.django_db
@each_renewal
@pytest.mark.parametrize("replay", [False, True])
@pytest.mark.parametrize("left", [timedelta(0), HOUR / 2], ids=["expired", "in time"])
def test_renewal_with_a_grace_period_does_not_extend_the_old_secret(
    user, settings, renew, replay, left
):
    settings.FRAPPE_TOKENS = {"REVOKE_ON_REPLAY": replay, "ROTATION_GRACE": 5 * HOUR}
    with time_machine.travel(NOON, tick=False) as clock:
        old = generate_keys(user, expires_at=NOON + HOUR)
        clock.move_to(NOON + HOUR - left)
        new = renew(old.instance, expires_at=NOON + 9 * HOUR)
        assert (works(new), new.instance.previous_expires_at) == (True, NOON + HOUR)
        if left:
            assert works(old)

        clock.move_to(NOON + HOUR)

        assert works(new)
        assert not works(old)


@pytest.mark.django_db
@each_renewal
def test_user_may_renew_an_own_key_but_not_extend_its_secret(user, settings, renew):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}
    by = Actor(user)
    with time_machine.travel(NOON, tick=False):
        key = generate_keys(user, expires_at=NOON + HOUR).instance
        with pytest.raises(PermissionDenied, match="You can't extend"):
            change_key(key, expires_at=NOON + 2 * HOUR, by=by)

        assert renew(key, expires_at=NOON + 2 * HOUR, by=by).instance.expires_at == NOON + 2 * HOUR


@pytest.mark.django_db
@each_renewal
def test_key_of_a_manager_makes_no_other_outlive_itself(user, system_manager, renew):
    with time_machine.travel(NOON, tick=False):
        key = generate_keys(user, expires_at=NOON + HOUR).instance
        by = Actor(system_manager, generate_keys(system_manager, expires_at=NOON + HOUR).instance)
        with pytest.raises(PermissionDenied, match="expires"):
            renew(key, expires_at=NOON + HOUR + TICK, by=by)

        assert renew(key, expires_at=NOON + HOUR, by=by).instance.expires_at == NOON + HOUR


@pytest.mark.django_db
def test_plan_says_whether_the_older_secret_ends_early(user, system_manager):
    def ends_early():
        (plan,) = plan_for([user], Actor(system_manager), may_renew=False)
        return plan.ends_older_secret

    with time_machine.travel(NOON, tick=False) as clock:
        said = [ends_early()]
        for grace in (timedelta(0), timedelta(0), HOUR):
            generate_keys(user, grace=grace)
            said.append(ends_early())
        clock.move_to(NOON + HOUR)
        said.append(ends_early())

    assert said == [False, False, False, True, False]


class Exchange(NamedTuple):
    """A request: when it was sent and answered, in seconds since 1970, and how."""

    sent: float
    answered: float
    status: int


def send_until_refused(address, header):
    """Send requests until the first refusal."""
    exchanges = []
    with closing(http.client.HTTPConnection(address, timeout=60)) as server:
        while not exchanges or exchanges[-1].status == 200:
            sent = time.time()
            server.request("GET", WHO, headers={"Authorization": header})
            answer = server.getresponse()
            answer.read()
            exchanges.append(Exchange(sent, time.time(), answer.status))
    return exchanges


@pytest.mark.parallel
@pytest.mark.django_db(transaction=True)
def test_integration_rotates_under_load_without_a_refusal(make_user, settings, live_server):
    """It rotates its own secret over HTTP while its workers still use the old one."""
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True, "FAILURE_LIMIT": None}
    grace = 2  # seconds
    keys = generate_keys(make_user("integration"))
    address, header = urlsplit(live_server.url).netloc, token_header(keys)
    with ThreadPoolExecutor(4) as workers:
        asking = [workers.submit(send_until_refused, address, header) for _ in range(4)]
        with closing(http.client.HTTPConnection(address, timeout=60)) as server:
            body = json.dumps({"grace": grace})
            headers = {"Authorization": header, "Content-Type": "application/json"}
            server.request("POST", f"/api/keys/{keys.api_key}/rotate/", body, headers)
            rotated = json.loads(server.getresponse().read())
        stored = ApiKey.objects.get()
        exchanges = [it for future in asking for it in future.result()]
    assert stored.previous_expires_at is not None
    ends_at = stored.previous_expires_at.timestamp()
    refused = [it for it in exchanges if it.status != 200]
    assert [it.status for it in refused] == [401] * 4
    assert all(it.answered >= ends_at for it in refused)
    assert all(it.sent < ends_at for it in exchanges if it.status == 200)
    assert len(exchanges) > 20 * grace
    assert works(GeneratedKeys(keys.api_key, rotated["api_secret"], stored))
