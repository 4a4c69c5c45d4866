"""The lifetime that a key was given, which bounds how far it may move its own expiry."""

from datetime import datetime, timedelta

import pytest
import time_machine

from frappe_tokens.keys import (
    ImportedPair,
    change_key,
    create_key,
    generate_keys,
    generate_keys_for_source,
    generate_keys_for_users,
    import_keys,
    set_up_pair,
)
from frappe_tokens.models import ApiKey

from .sources.models import Robot

pytestmark = pytest.mark.django_db

NOON = datetime.fromisoformat("2030-02-28T12:00:00+00:00")
DAY = timedelta(days=1)
PAIR = ("ftk_robot", "Canary" * 6)


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


def new_row(user, **options):
    return generate_keys_for_source(Robot.objects.create(user=user), **options)


def lifetime_of(made):
    key = getattr(made, "instance", getattr(made, "key", None))
    return type(key).objects.get(pk=key.pk).lifetime


MAKERS = {
    "generate": generate_keys,
    "create": create_key,
    "bulk": lambda user, **options: generate_keys_for_users([user], **options)[0],
    "pair": lambda user, **options: set_up_pair(user, *PAIR, **options),
    "row": new_row,
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize(
    ("setting", "options", "lifetime"),
    [
        ({}, {}, None),
        ({}, {"expires_at": NOON + DAY}, DAY),
        ({"MAX_LIFETIME": DAY}, {}, DAY),
    ],
    ids=["none", "given", "by the setting"],
)
def test_new_key_has_the_lifetime_that_it_was_given(
    user, settings, make, setting, options, lifetime
):
    settings.FRAPPE_TOKENS = setting

    assert lifetime_of(make(user, **options)) == lifetime


@pytest.mark.parametrize("setting", [None, DAY])
def test_imported_key_has_the_usual_lifetime(user, settings, setting):
    settings.FRAPPE_TOKENS = {"DEFAULT_LIFETIME": setting}

    import_keys([ImportedPair(1, "ada", *PAIR, "")])

    assert ApiKey.objects.get().lifetime == setting


RENEWALS = {
    "user": lambda key, **options: generate_keys(key.user, **options),
    "users": lambda key, **options: generate_keys_for_users([key.user], **options)[0],
    "row": generate_keys_for_source,
    "pair": lambda key, **options: set_up_pair(key.user, key.api_key, "Another" * 6, **options),
}


@pytest.mark.parametrize("renew", RENEWALS.values(), ids=RENEWALS)
def test_only_a_rotation_with_another_expiry_gives_another_lifetime(user, clock, renew):
    key = generate_keys(user, expires_at=NOON + 9 * DAY).instance
    clock.move_to(NOON + DAY)

    assert lifetime_of(renew(key)) == 9 * DAY
    assert lifetime_of(generate_keys(user, expires_at=NOON + 9 * DAY)) == 9 * DAY
    assert lifetime_of(generate_keys(user, expires_at=NOON + 2 * DAY)) == DAY
    key.refresh_from_db()
    if renew is not RENEWALS["pair"]:
        assert lifetime_of(renew(key, expires_at=NOON + 6 * DAY)) == 5 * DAY


def test_many_keys_keep_lifetimes_of_their_own(make_user):
    users = [make_user(f"user{number}") for number in range(4)]
    for number, user in enumerate(users):
        generate_keys(user, expires_at=NOON + number * DAY if number else None)

    generate_keys_for_users(users)

    lifetimes = ApiKey.objects.order_by("pk").values_list("lifetime", flat=True)
    assert [*lifetimes] == [None, DAY, 2 * DAY, 3 * DAY]


def test_change_of_the_expiry_is_a_change_of_the_lifetime(user, clock, settings):
    key = generate_keys(user, expires_at=NOON + 9 * DAY).instance
    clock.move_to(NOON + DAY)

    def changed(**changes):
        change_key(key, **changes)
        return key.lifetime

    assert changed(name="renamed") == 9 * DAY
    assert changed(expires_at=NOON + 9 * DAY) == 9 * DAY
    assert changed(expires_at=NOON + 2 * DAY) == DAY
    assert changed(expires_at=None) is None
    settings.FRAPPE_TOKENS = {"DEFAULT_LIFETIME": 3 * DAY}
    assert changed(expires_at=None) == 3 * DAY


def test_maximum_shortens_the_lifetime_at_the_next_rotation(user, settings):
    generate_keys(user, expires_at=NOON + 9 * DAY)
    settings.FRAPPE_TOKENS = {"MAX_LIFETIME": DAY}

    assert lifetime_of(generate_keys(user)) == DAY
