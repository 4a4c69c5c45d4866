"""Changing what a key may do, and its name."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.core.exceptions import PermissionDenied, ValidationError

from frappe_tokens.keys import change_key, generate_keys, revoke
from frappe_tokens.keys.actors import Actor
from frappe_tokens.models import ApiKey

from .client import DAY, NOON, rows
from .sources.models import Robot

pytestmark = pytest.mark.django_db


@pytest.fixture
def self_service(settings):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}


@pytest.fixture(autouse=True)
def at_noon():
    with time_machine.travel(NOON, tick=False):
        yield


def test_only_given_fields_change(keys):
    before = ApiKey.objects.values().get()
    changes = {
        "name": "deploy",
        "scopes": ["todos"],
        "read_only": True,
        "allowed_ips": ["192.0.2.0/24"],
        "rate_limit": "5/minute",
        "expires_at": NOON + DAY,
        "self_rotate": True,
    }
    with time_machine.travel(NOON, tick=False):
        change_key(keys.instance, **changes)
    assert ApiKey.objects.values().get() == {**before, **changes, "lifetime": DAY}
    assert keys.instance.policies == {n: v for n, v in changes.items() if n != "name"}


def test_policies_can_be_removed(user):
    key = generate_keys(
        user, scopes=["todos"], read_only=True, allowed_ips=["::1"], rate_limit="1/s"
    ).instance
    change_key(key, scopes=[], read_only=False, allowed_ips=[], rate_limit="", expires_at=None)
    assert not any(key.policies.values())


def test_row_of_another_source_is_refreshed(user):
    robot = Robot.objects.create(user=user)
    change_key(robot, scopes=["weld"])
    assert robot.scopes == Robot.objects.get().scopes == ["weld"]


def test_concurrent_changes_are_kept(keys):
    stale = ApiKey.objects.get()
    rotated = generate_keys(keys.instance.user, scopes=["todos"])

    change_key(stale, read_only=True)

    stored = ApiKey.objects.get()
    assert (stored.scopes, stored.read_only) == (["todos"], True)
    assert stored.secret_digest == rotated.instance.secret_digest


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("name", value) for value in ("x" * 101, "with\nbreak")),
        *(("scopes", value) for value in ("todos", ["scope"] * 101, ["x" * 201])),
        *(("allowed_ips", value) for value in (["everywhere"], ["192.0.2.1"] * 101)),
        *(("rate_limit", value) for value in ("often", "5/m" + "x" * 28)),
        *(("expires_at", value) for value in (NOON, datetime(2030, 3, 1), NOON + 31 * DAY)),
    ],
)
def test_invalid_value_is_refused_by_field(keys, settings, field, value):
    settings.FRAPPE_TOKENS = {"MAX_LIFETIME": 30 * DAY}
    before = rows()
    with pytest.raises(ValidationError) as raised:
        change_key(keys.instance, **{"read_only": True, field: value})
    assert list(raised.value.message_dict) == [field]
    assert rows() == before


def test_default_lifetime_fills_the_expiry_and_does_not_bound_it(user, settings):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True, "DEFAULT_LIFETIME": 90 * DAY}
    key = generate_keys(user, expires_at=NOON + 91 * DAY, by=Actor(user)).instance
    assert key.expires_at == NOON + 91 * DAY
    change_key(key, expires_at=None)
    assert key.expires_at == NOON + 90 * DAY


def test_refuses_a_name_that_another_live_key_has(user):
    taken = generate_keys(user, name="deploy").instance
    key = generate_keys(user, name="other").instance
    with pytest.raises(ValidationError, match="has an API key with this name"):
        change_key(key, name=" deploy ")
    revoke(taken)
    for _ in range(2):
        change_key(key, name=" deploy ")
        assert key.name == "deploy"


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata", "UTC"])
def test_refuses_an_expiry_that_some_database_or_zone_cannot_keep(keys, settings, zone):
    settings.TIME_ZONE = zone
    last = datetime.max.replace(tzinfo=ZoneInfo(zone))
    for late in (last, last - 365 * DAY, NOON + 36_501 * DAY):
        with pytest.raises(ValidationError, match="must expire by"):
            change_key(keys.instance, expires_at=late)
    change_key(keys.instance, expires_at=NOON + 36_499 * DAY)


def test_invalid_stored_rate_can_be_corrected(keys, self_service):
    ApiKey.objects.update(rate_limit="often")
    key = ApiKey.objects.get()
    with pytest.raises(PermissionDenied):
        change_key(key, rate_limit="5/minute", by=Actor(key.user))
    change_key(key, rate_limit="5/minute")
    assert key.rate_limit == "5/minute"


def test_users_cannot_set_the_rate_of_their_own_key(user, self_service):
    """It would count instead of the one that the site has for all keys."""
    key = generate_keys(user, by=Actor(user)).instance
    with pytest.raises(PermissionDenied, match="its own rate limit"):
        change_key(key, rate_limit="1/day", by=Actor(user))
    with pytest.raises(PermissionDenied, match="its own rate limit"):
        generate_keys(user, name="new", rate_limit="999999999/s", by=Actor(user))
    assert [row["rate_limit"] for row in rows()] == [""]


def test_no_change_writes_nothing(keys, system_manager):
    before = rows()
    change_key(keys.instance, by=Actor(system_manager))
    assert rows() == before
    assert not LogEntry.objects.exists()


def test_revoked_or_deleted_key_cannot_be_changed(keys):
    stale = ApiKey.objects.get()
    revoke(keys.instance)
    before = rows()
    with pytest.raises(ValidationError, match="was revoked, which is final"):
        change_key(stale, read_only=True)
    assert rows() == before
    ApiKey.objects.all().delete()
    with pytest.raises(ValidationError, match="no longer exists"):
        change_key(stale, read_only=True)


@pytest.mark.parametrize("name", ["api_key", "secret_digest", "user", "revoked_at", "live"])
def test_nothing_else_can_be_changed(keys, name):
    with pytest.raises(TypeError, match=name):
        change_key(keys.instance, **{name: None})


# What widens a key is in ``test_policy.py``.
WIDER = [
    {"read_only": False},
    {"scopes": ["todos", "more"]},
    {"allowed_ips": []},
    {"rate_limit": "11/minute"},
    {"expires_at": NOON + 2 * DAY},
]


def narrowed(user):
    return generate_keys(
        user,
        read_only=True,
        scopes=["todos", "notes"],
        allowed_ips=["192.0.2.0/24"],
        rate_limit="10/minute",
        expires_at=NOON + DAY,
    ).instance


@pytest.mark.parametrize("wider", WIDER, ids=repr)
def test_own_key_cannot_be_widened(user, self_service, wider):
    key = narrowed(user)
    before = rows()
    with pytest.raises(PermissionDenied, match="can't extend"):
        change_key(key, by=Actor(user), **wider)
    assert rows() == before


def test_own_key_cannot_be_widened_by_rotating_it(user, self_service):
    narrowed(user)
    before = rows()
    for wider in ({"scopes": ["todos", "more"]}, {"self_rotate": True}):
        with pytest.raises(PermissionDenied, match="can't extend"):
            generate_keys(user, by=Actor(user), **wider)
    assert rows() == before
    assert generate_keys(user, by=Actor(user), scopes=["todos"]).instance.scopes == ["todos"]


def test_own_key_may_be_narrowed_and_renamed(user, self_service):
    key = narrowed(user)
    narrower = {
        "scopes": ["todos"],
        "allowed_ips": ["192.0.2.7"],
        "rate_limit": "5/minute",
        "expires_at": NOON + DAY / 2,
    }
    change_key(key, by=Actor(user), name="mine", **narrower)
    assert key.policies == {"read_only": True, "self_rotate": False, **narrower}
