"""Keys whose pairs were chosen elsewhere are set up, and follow the rotations there."""

from datetime import datetime
from functools import partial

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models.signals import pre_save
from django.test import Client

from frappe_tokens import crypto
from frappe_tokens.keys import generate_keys, revoke, set_up_pair
from frappe_tokens.models import ApiKey
from frappe_tokens.signals import keys_generated

from .client import DAY, NOON, WHO, rows, technical_page
from .conftest import receiving
from .sources.models import Robot
from .test_parallel import at_once

LONG_AGO = datetime.fromisoformat("2020-01-01T00:00:00+00:00")
API_KEY = "ftk_robot"
SECRET = "Canary" * 6
OTHER = "Another" * 6
_BODY = "fts_" + "0123456789" * 4 + "abc"
GENERATED = _BODY + crypto.checksum(_BODY)
pytestmark = pytest.mark.django_db


def status_of(secret, api_key=API_KEY):
    header = {"authorization": f"token {api_key}:{secret}"}
    return Client().get(WHO, headers=header).status_code


@time_machine.travel(NOON, tick=False)
def test_new_pair_is_stored_with_its_policies(user, settings):
    settings.FRAPPE_TOKENS = {"DEFAULT_LIFETIME": 90 * DAY, "MAX_LIFETIME": 30 * DAY}

    result = set_up_pair(user, API_KEY, SECRET, name=" ci ", scopes=["todos"], read_only=True)

    key = ApiKey.objects.get()
    assert (result.key, result.outcome, result.ignored) == (key, "created", [])
    assert (key.user, key.api_key, key.name) == (user, API_KEY, "ci")
    assert (key.scopes, key.read_only, key.expires_at) == (["todos"], True, NOON + 30 * DAY)
    assert (key.created_at, key.rotated_at, key.previous_digest) == (NOON, NOON, "")
    assert crypto.matches(SECRET, key.secret_digest)


def test_changes_nothing_for_the_same_pair(user):
    set_up_pair(user, API_KEY, SECRET, read_only=True, allowed_ips=["192.0.2.0/24"])
    before = rows()

    result = set_up_pair(
        user, API_KEY, SECRET, read_only=True, scopes=["todos"], expires_at=NOON, grace=DAY
    )

    assert (result.outcome, result.ignored) == ("unchanged", ["scopes"])
    assert rows() == before


@time_machine.travel(NOON, tick=False)
def test_replaces_the_secret_as_a_rotation_does(user, cached_keys):
    set_up_pair(user, API_KEY, SECRET, scopes=["todos"], read_only=True)
    assert status_of(SECRET) == 200

    result = set_up_pair(user, API_KEY, OTHER, grace=DAY, allowed_ips=["127.0.0.1"])

    key = ApiKey.objects.get()
    assert (result.key, result.outcome) == (key, "rotated")
    assert (key.scopes, key.read_only, key.allowed_ips) == (["todos"], True, ["127.0.0.1"])
    assert key.previous_expires_at == NOON + DAY
    assert (status_of(SECRET), status_of(OTHER)) == (200, 200)

    set_up_pair(user, API_KEY, SECRET * 2)

    assert [status_of(secret) for secret in (SECRET, OTHER, SECRET * 2)] == [401, 401, 200]


def test_program_with_the_old_secret_does_not_bring_it_back(user):
    set_up_pair(user, API_KEY, SECRET)
    with time_machine.travel(NOON) as clock:
        set_up_pair(user, API_KEY, OTHER, grace=DAY)
        before = rows()

        assert set_up_pair(user, API_KEY, SECRET, grace=DAY).outcome == "superseded"
        assert rows() == before

        clock.shift(DAY)
        assert set_up_pair(user, API_KEY, SECRET).outcome == "rotated"


@pytest.mark.parametrize("peppers", [["x" * 32], ["y" * 32, "x" * 32], []])
def test_recognizes_its_secret_by_any_pepper(user, settings, peppers):
    settings.FRAPPE_TOKENS = {"PEPPERS": ["x" * 32]}
    set_up_pair(user, API_KEY, SECRET)
    settings.FRAPPE_TOKENS = {"PEPPERS": peppers}

    result = set_up_pair(user, API_KEY, SECRET)

    # Without its pepper, the old digest is of no use.
    assert result.outcome == ("unchanged" if peppers else "rotated")
    assert status_of(SECRET) == 200


@pytest.mark.django_db(transaction=True)
def test_new_secrets_are_announced(user):
    with receiving(keys_generated) as calls:
        for secret in (SECRET, SECRET, OTHER):
            set_up_pair(user, API_KEY, secret)

    generated = [(call["instance"].api_key, call["by"], call["rotated"]) for call in calls]
    assert generated == [(API_KEY, None, False), (API_KEY, None, True)]


@time_machine.travel(NOON, tick=False)
def test_another_secret_renews_an_expired_key_with_a_later_expiry(user):
    set_up_pair(user, API_KEY, SECRET, expires_at=NOON + DAY)
    with time_machine.travel(NOON + DAY, tick=False):
        before = rows()
        with pytest.raises(ValidationError, match="Give it a later expiry"):
            set_up_pair(user, API_KEY, OTHER)
        assert rows() == before

        result = set_up_pair(user, API_KEY, OTHER, expires_at=NOON + 3 * DAY)

        assert (result.outcome, result.key.expires_at) == ("rotated", NOON + 3 * DAY)
        assert (status_of(SECRET), status_of(OTHER)) == (401, 200)


@time_machine.travel(NOON, tick=False)
def test_replaced_secret_ends_with_the_expiry_that_it_had(user):
    set_up_pair(user, API_KEY, SECRET, expires_at=NOON + DAY)

    key = set_up_pair(user, API_KEY, OTHER, grace=9 * DAY, expires_at=NOON + 30 * DAY).key

    assert (key.previous_expires_at, key.expires_at) == (NOON + DAY, NOON + 30 * DAY)


@pytest.mark.parametrize(("length", "is_short"), [(31, True), (32, False)])
def test_result_says_whether_the_secret_is_only_safe_with_a_pepper(user, length, is_short):
    secret = SECRET[:length]

    results = [set_up_pair(user, API_KEY, secret) for _ in range(2)]

    assert [result.outcome for result in results] == ["created", "unchanged"]
    assert [result.is_short for result in results] == [is_short, is_short]


@time_machine.travel(NOON, tick=False)
@pytest.mark.parametrize("secret", [OTHER, SECRET], ids=["current", "older"])
def test_expired_secret_is_not_renewed_by_a_restart(user, secret):
    set_up_pair(user, API_KEY, SECRET)
    set_up_pair(user, API_KEY, OTHER, grace=9 * DAY, expires_at=NOON + DAY)
    with time_machine.travel(NOON + DAY, tick=False):
        before = rows()

        problem = f"API key {API_KEY} has expired, and so has this secret."
        with pytest.raises(ValidationError, match=problem) as raised:
            set_up_pair(user, API_KEY, secret, expires_at=NOON + 3 * DAY)

        assert raised.value.code == "key_expired"
        assert rows() == before


IN_THE_WAY = {
    "another user's": lambda user, make_user: set_up_pair(make_user("grace"), API_KEY, SECRET),
    "another source's": lambda user, _: Robot.objects.create(user=user, api_key=API_KEY),
    "revoked": lambda user, _: revoke(set_up_pair(user, API_KEY, SECRET).key),
    "expired": lambda user, _: (
        set_up_pair(user, API_KEY, SECRET),
        ApiKey.objects.update(expires_at=LONG_AGO),
    ),
    "named": lambda user, _: set_up_pair(user, API_KEY, SECRET, name="ci"),
    "another key": lambda user, _: set_up_pair(user, "ftk_other", SECRET),
    "inactive": lambda user, _: type(user).objects.update(is_active=False),
    "deleted": lambda user, _: type(user).objects.all().delete(),
}


@pytest.mark.parametrize(
    ("what", "code", "problem"),
    [
        ("another user's", "api_key_taken", "API key ftk_robot belongs to another user."),
        ("another source's", "api_key_taken", "belongs to another source (sources.Robot)."),
        ("revoked", "key_revoked", "was revoked, which is final. Choose a pair with another API"),
        ("expired", "key_expired", "has expired"),
        ("named", "name", "has the name 'ci'. Use this name, or rename the key."),
        ("another key", "name_taken", "already has a live key with the name '', ftk_other. Revoke"),
        ("inactive", "user_inactive", "The user is inactive. Activate the user first."),
        ("deleted", "no_user", "This user no longer exists."),
    ],
)
@pytest.mark.parametrize("secret", [SECRET, OTHER], ids=["same", "other"])
def test_refuses_a_pair_that_is_in_use_otherwise(
    make_user, user, settings, what, code, problem, secret
):
    settings.FRAPPE_TOKENS = {"SOURCES": {"Robot": "sources.Robot"}}
    IN_THE_WAY[what](user, make_user)
    before = rows()

    with pytest.raises(ValidationError) as raised:
        set_up_pair(user, API_KEY, secret)

    (error,) = raised.value.error_list
    assert problem in error.messages[0]
    assert (error.code, secret in str(error)) == (code, False)
    assert rows() == before


@pytest.mark.parametrize(
    ("api_key", "api_secret", "options", "problem"),
    [
        ("", SECRET, {}, "The API key must have 1 to 64 printable ASCII characters"),
        ("a b", SECRET, {}, "The API key must have 1 to 64 printable ASCII characters"),
        (SECRET, SECRET, {}, "The API key is a secret. Are the two mixed up?"),
        (GENERATED, SECRET, {}, "The API key is a secret. Are the two mixed up?"),
        (SECRET, API_KEY, {}, "The API key is a secret. Are the two mixed up?"),
        (API_KEY, "", {}, "The secret is missing."),
        (API_KEY, "elevenchars", {}, "can be guessed: it has fewer than 12 characters"),
        (API_KEY, f"{SECRET}\n", {}, "must have at most 256 printable ASCII characters"),
        (API_KEY, GENERATED[:-1], {}, "its checksum is wrong"),
        (API_KEY, SECRET, {"scopes": ['a"b']}, "is not a valid scope"),
        (API_KEY, SECRET, {"grace": -DAY}, "The grace period must be between"),
        (API_KEY, SECRET, {"expires_at": LONG_AGO}, "The expiry must be in the future."),
    ],
)
def test_checks_pair_and_options_before_any_query(
    user, statements, api_key, api_secret, options, problem
):
    with statements() as verbs, pytest.raises(ValidationError) as raised:
        set_up_pair(user, api_key, api_secret, **options)

    assert verbs == []
    assert problem in str(raised.value)
    for secret in (SECRET, GENERATED[:-1], "elevenchars"):
        assert secret not in str(raised.value)


def test_refuses_an_api_key_that_was_stored_after_the_check(make_user, user):
    def store_first(instance, **sent):
        if instance.user == user:
            ApiKey.objects.create(user=make_user("grace"), api_key=API_KEY)

    pre_save.connect(store_first, sender=ApiKey)
    try:
        with pytest.raises(ValidationError, match="changed in the meantime") as raised:
            set_up_pair(user, API_KEY, SECRET)
    finally:
        pre_save.disconnect(store_first, sender=ApiKey)

    assert raised.value.code == "changed"
    assert not ApiKey.objects.filter(user=user).exists()


@pytest.mark.parametrize("verb", ["SELECT", "INSERT"])
@pytest.mark.parametrize("debug", [True, False])
def test_error_page_about_a_failure_hides_the_secret(user, settings, verb, debug):
    settings.DEBUG = debug

    def fail(execute, sql, params, *more):
        if sql.startswith(verb) and "api_key" in sql:
            raise RuntimeError("the disk is full")
        return execute(sql, params, *more)

    with connection.execute_wrapper(fail):
        page = technical_page(lambda: set_up_pair(user, API_KEY, SECRET), RuntimeError)

    assert "set_up_pair" in page
    assert "the disk is full" in page
    assert SECRET not in page


@pytest.mark.parallel
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("exists", [False, True])
def test_parallel_calls_leave_one_key(user, exists):
    if exists:
        set_up_pair(user, API_KEY, OTHER)

    results, errors = at_once(*[lambda: set_up_pair(user, API_KEY, SECRET, grace=DAY)] * 20)

    assert errors == []
    first = "rotated" if exists else "created"
    assert sorted(result.outcome for result in results) == sorted([first, *["unchanged"] * 19])
    key = ApiKey.objects.get()
    assert crypto.matches(SECRET, key.secret_digest)
    assert crypto.matches(OTHER, key.previous_digest) == exists


@pytest.mark.parallel
@pytest.mark.django_db(transaction=True)
def test_parallel_calls_for_different_users_give_the_key_to_one(make_user):
    users = [make_user(f"user{number}") for number in range(5)]

    for number in range(5):
        api_key = f"{API_KEY}{number}"
        calls = [partial(set_up_pair, user, api_key, SECRET, name=api_key) for user in users]
        results, errors = at_once(*calls)
        assert [type(error) for error in errors] == [ValidationError] * 4
        assert [result.outcome for result in results] == ["created"]


@pytest.mark.parallel
@pytest.mark.django_db(transaction=True)
def test_rotating_here_and_there_at_once_leaves_one_of_the_secrets(user):
    set_up_pair(user, API_KEY, OTHER)

    calls = [lambda: set_up_pair(user, API_KEY, SECRET), lambda: generate_keys(user)]
    results, errors = at_once(*calls * 5)

    assert errors == []
    digest = ApiKey.objects.get().secret_digest
    secrets = [SECRET, *(result.api_secret for result in results if hasattr(result, "api_secret"))]
    assert sum(crypto.matches(secret, digest) for secret in secrets) == 1


@pytest.mark.parametrize(
    ("prefixes", "api_key"),
    [
        ({"KEY_PREFIX": "Ca"}, "robot"),
        ({"KEY_PREFIX": "Can", "SECRET_PREFIX": "Canary"}, "robot"),
        ({"KEY_PREFIX": "Can"}, "Can_robot"),
    ],
    ids=["short", "of both", "of both halves"],
)
def test_secret_may_begin_like_an_api_key_where_that_proves_nothing(
    user, settings, prefixes, api_key
):
    settings.FRAPPE_TOKENS = prefixes
    secret = "Canaries" * 6
    if "SECRET_PREFIX" in prefixes:
        secret = crypto.generate_api_secret()

    assert set_up_pair(user, api_key, secret).outcome == "created"


def test_secret_does_not_begin_like_an_api_key(user, settings):
    settings.FRAPPE_TOKENS = {"KEY_PREFIX": "Can"}

    with pytest.raises(ValidationError, match="Are the two mixed up"):
        set_up_pair(user, "robot", "Canaries" * 6)
