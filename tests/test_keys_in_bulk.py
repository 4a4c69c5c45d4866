"""Generating for many users at once: the same as one by one, with few statements."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection

from frappe_tokens import crypto
from frappe_tokens.keys import generate_keys, generate_keys_for_users, generation, revoke
from frappe_tokens.keys.actors import Actor
from frappe_tokens.models import ApiKey

from .client import DAY, HOUR, NOON, rows
from .test_keys import model_values

pytestmark = pytest.mark.django_db


def stored(user):
    """The user's keys, without what differs from key to key anyway."""
    own = {"id", "user_id", "api_key", "secret_digest", "previous_digest"}
    found = ApiKey.objects.filter(user=user).order_by("pk").values()
    return [
        {
            **{name: value for name, value in row.items() if name not in own},
            "previous": bool(row["previous_digest"]),
        }
        for row in found
    ]


def generate_narrow(user):
    limits = {"scopes": ["todo"], "read_only": True, "allowed_ips": ["192.0.2.0/24"]}
    generate_keys(user, expires_at=NOON + 30 * DAY, **limits)


def generate_and_use(user):
    generate_keys(user)
    generate_keys(user, grace=HOUR)
    used = {"last_used_at": NOON, "last_used_ip": "192.0.2.7", "previous_used_at": NOON}
    ApiKey.objects.filter(user=user).update(rate_limit="5/minute", created_by=user, **used)


# The keys that a user may have before.
SITUATIONS = [
    lambda user: None,
    generate_keys,
    generate_narrow,
    generate_and_use,
    lambda user: generate_keys(user, expires_at=NOON + DAY),
    lambda user: ApiKey.objects.create(user=user),
    lambda user: revoke(generate_keys(user).instance),
    lambda user: generate_keys(user, name="ci"),
]


@pytest.mark.parametrize(
    ("settings_now", "arguments"),
    [
        ({}, {}),
        ({"DEFAULT_LIFETIME": 90 * DAY}, {"name": " ci "}),
        ({"MAX_LIFETIME": 10 * DAY}, {"grace": timedelta(0), "expires_at": NOON + 9 * DAY}),
        ({"MAX_LIFETIME": 10 * DAY}, {"grace": 2 * HOUR}),
        ({"ROTATION_GRACE": HOUR}, {}),
        (
            {"PEPPERS": ["a pepper that is long enough for HMAC"]},
            {"scopes": ("event",), "read_only": True, "allowed_ips": ["2001:db8::/32"]},
        ),
    ],
    ids=["nothing", "name", "expiry", "grace", "default grace", "policies"],
)
def test_result_equals_generating_one_by_one(make_user, settings, settings_now, arguments):
    manager = make_user("manager", is_superuser=True)
    with time_machine.travel(NOON, tick=False) as clock:
        singly = [make_user(f"single{number}") for number in range(len(SITUATIONS))]
        together = [make_user(f"bulk{number}") for number in range(len(SITUATIONS))]
        for users in (singly, together):
            for prepare, user in zip(SITUATIONS, users, strict=True):
                prepare(user)
        ApiKey.objects.filter(created_by__in=[*singly, *together]).update(created_by=manager)
        clock.shift(60)
        settings.FRAPPE_TOKENS = settings_now
        one_by_one = [generate_keys(user, by=Actor(manager), **arguments) for user in singly]
        made = generate_keys_for_users(together, by=Actor(manager), **arguments)

    assert [generated.instance.user for generated in made] == together
    assert len({generated.api_secret for generated in made}) == len(made)
    for expected, generated in zip(one_by_one, made, strict=True):
        key = generated.instance
        assert stored(key.user) == stored(expected.instance.user)
        assert model_values(key) == model_values(ApiKey.objects.get(pk=key.pk))
        assert generated.api_key == key.api_key
        assert crypto.matches(generated.api_secret, key.secret_digest)
        assert not key._state.adding


def test_changing_one_keys_policies_changes_no_others(make_user):
    ada, grace = generate_keys_for_users([make_user("ada"), make_user("grace")], scopes=["todo"])

    ada.instance.scopes.append("event")

    assert grace.instance.scopes == ["todo"]


def test_results_have_the_order_of_the_users_without_duplicates(make_user):
    ada, grace, hedy = (make_user(name) for name in ("ada", "grace", "hedy"))

    made = generate_keys_for_users([hedy, ada, hedy.pk, SimpleNamespace(pk=grace.pk), ada])

    assert [keys.instance.user for keys in made] == [hedy, ada, grace]
    assert generate_keys_for_users([]) == []
    assert ApiKey.objects.count() == 3


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda user: user.update(is_active=False), r"^\['user4: The user is inactive"),
        (lambda user: user.update(is_superuser=True), "superuser"),
        (lambda user: user.delete(), "no longer exists"),
        (lambda user: ApiKey.objects.filter(user__in=user).update(expires_at=NOON), "has expired"),
    ],
    ids=["inactive", "superuser", "deleted", "expired"],
)
def test_all_or_nothing(make_user, system_manager, monkeypatch, spoil, error):
    monkeypatch.setattr(generation, "BATCH_SIZE", 2)
    users = [make_user(f"user{number}") for number in range(5)]
    generate_keys_for_users(users[2:])
    spoil(get_user_model().objects.filter(pk=users[4].pk))
    before = rows()

    with (
        time_machine.travel(NOON, tick=False),
        pytest.raises((ValidationError, PermissionDenied), match=error),
    ):
        generate_keys_for_users(users, by=Actor(system_manager))

    assert rows() == before


@pytest.mark.parametrize("returns_ids", [True, False])
def test_new_keys_can_be_saved_whether_or_not_the_database_returns_ids(
    make_user, monkeypatch, returns_ids
):
    if not returns_ids:
        features = type(connection.features)
        monkeypatch.setattr(features, "can_return_rows_from_bulk_insert", False)

    for generated in generate_keys_for_users([make_user("ada"), make_user("grace")]):
        key = generated.instance
        assert key == ApiKey.objects.get(api_key=generated.api_key)
        assert key._state.db == "default"
        key.rate_limit = "5/minute"
        key.save()
    assert ApiKey.objects.filter(rate_limit="5/minute").count() == 2
