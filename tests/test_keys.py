"""Generating, rotating and revoking keys. Who may is in ``test_deeds.py``."""

import copy
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.http import HttpRequest
from django.test import Client
from django.urls import path
from django.utils import timezone as django_timezone
from rest_framework.views import APIView

from frappe_tokens import crypto
from frappe_tokens.authentication import (
    BasicAuthentication,
    BearerAuthentication,
    TokenAuthentication,
)
from frappe_tokens.credentials import parse
from frappe_tokens.exceptions import Reason
from frappe_tokens.keys import (
    clean_name,
    create_key,
    generate_keys,
    generate_keys_for_users,
    revoke,
)
from frappe_tokens.keys.actors import Actor
from frappe_tokens.models import ApiKey
from frappe_tokens.rest_exceptions import AuthenticationRefused

from .client import DAY, HOUR, NOON, TICK, attempt, rows, technical_page
from .conftest import token_header

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class Broken(APIView):
    authentication_classes = [TokenAuthentication, BasicAuthentication, BearerAuthentication]

    def get(self, request):
        raise RuntimeError("something else is broken")


urlpatterns = [path("broken/", Broken.as_view())]


def works(keys):
    return attempt(keys) == keys.instance


def code_of(call):
    with pytest.raises(ValidationError) as raised:
        call()
    assert raised.value.message
    assert raised.value.messages[0]
    return str(raised.value.code)


# Generating


def test_generated_key_works(user):
    keys = generate_keys(user)

    assert attempt(keys) == keys.instance == ApiKey.objects.get()
    assert keys.instance.secret_digest == crypto.make_digest(keys.api_secret)
    assert keys.api_secret not in repr(rows()) + repr(vars(keys.instance))
    assert (keys.api_key, keys.instance.user) == (keys.instance.api_key, user)
    assert keys.token == f"{keys.api_key}:{keys.api_secret}"
    assert keys.header == f"Authorization: {token_header(keys)}"


@pytest.mark.parametrize("option", ["api_secret", "secret", "secret_digest", "api_key"])
@pytest.mark.parametrize("function", [generate_keys, create_key])
def test_secret_and_api_key_cannot_be_chosen(user, function, option):
    with pytest.raises(TypeError, match=f"not options of a key: {option}"):
        function(user, **{option: "chosen"})

    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("option", [{"scopes": None}, {"allowed_ips": None}, {"expires_at": ""}])
def test_none_does_not_mean_unrestricted(user, option):
    with pytest.raises((TypeError, AttributeError)):
        generate_keys(user, **option)

    assert not ApiKey.objects.exists()


def test_names_tell_the_keys_of_a_user_apart(user):
    unnamed, first = generate_keys(user), generate_keys(user, name=" backup\t")
    second, other = generate_keys(user, name="backup"), generate_keys(user, name="Backup")
    assert first.instance.name == "backup"
    assert second.instance == first.instance
    assert [works(keys) for keys in (unnamed, first, second, other)] == [True, False, True, True]


@pytest.mark.parametrize("name", ["n" * 101, "a\x00b", "a\nb", "a\u200bb", "\ud800"])
def test_invalid_name_is_refused(user, name):
    assert code_of(lambda: generate_keys(user, name=name)) == "name"
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("name", ["", "n" * 100, "Zürich \U0001f511", "a: b, 'c' \"d\" <e>"])
def test_valid_name_is_stored(user, name):
    assert clean_name(name) == name
    assert generate_keys(user, name=name).instance.name == name


@pytest.mark.parametrize(
    "policies",
    [
        {"scopes": "todo"},  # which would be four scopes of one letter
        {"allowed_ips": "::"},
        {"rate_limit": "often"},
        {"expires_at": datetime(2100, 1, 1)},
        {"expires_at": datetime(2020, 1, 1, tzinfo=timezone.utc)},
        {"grace": -DAY},
        {"grace": timedelta.max},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["", "new"])
def test_invalid_option_is_refused(user, policies, name):
    generate_keys(user)
    before = rows()

    assert code_of(lambda: generate_keys(user, name=name, **policies))
    assert rows() == before


def model_values(key):
    return {field.attname: getattr(key, field.attname) for field in key._meta.concrete_fields}


def test_user_who_is_not_stored_gets_no_key(user, make_user):
    deleted = make_user("gone")
    get_user_model()._default_manager.filter(pk=deleted.pk).delete()

    for unknown in (AnonymousUser(), get_user_model()(), deleted):
        assert code_of(partial(generate_keys, unknown)) == "no_user"
        assert code_of(partial(generate_keys_for_users, [user, unknown])) == "no_user"
    assert not ApiKey.objects.exists()


def test_user_is_taken_as_stored_now(user, system_manager):
    stored = get_user_model()._default_manager.filter(pk=user.pk)
    stored.update(is_superuser=True)
    with pytest.raises(PermissionDenied):
        generate_keys(user, by=Actor(system_manager))

    stored.update(is_active=False)
    assert code_of(lambda: generate_keys(user)) == "user_inactive"
    assert code_of(lambda: generate_keys_for_users([user])) == "user_inactive"
    with pytest.raises(PermissionDenied):  # it doesn't disclose that the user is inactive
        generate_keys(user, by=Actor(user))
    assert not ApiKey.objects.exists()


# Rotating


def test_rotation_replaces_nothing_but_the_secret(user):
    old = generate_keys(user, expires_at=datetime.now(timezone.utc) + DAY, scopes=["todo"])
    used = {"last_used_at": NOON, "created_by": user}
    limits = {"read_only": True, "allowed_ips": ["127.0.0.0/8"], "rate_limit": "5/minute"}
    ApiKey.objects.update(**used, **limits)
    (before,) = rows()

    new = generate_keys(user)

    (after,) = rows()
    assert {name for name in before if before[name] != after[name]} == {
        "secret_digest",
        "rotated_at",
    }
    assert (new.api_key, new.instance) == (old.api_key, old.instance)
    assert attempt(old) is Reason.INVALID_CREDENTIALS


def test_rotation_applies_given_policies(keys):
    generate_keys(keys.instance.user, read_only=True)
    generate_keys(keys.instance.user, scopes=("todo", "user"))
    generate_keys(keys.instance.user, allowed_ips=iter(["192.0.2.1", "2001:db8::1"]))

    key = ApiKey.objects.get()
    assert (key.read_only, key.scopes) == (True, ["todo", "user"])
    assert key.allowed_ips == ["192.0.2.1", "2001:db8::1"]


def test_default_grace_is_rotation_grace(user, settings):
    settings.FRAPPE_TOKENS = {"ROTATION_GRACE": HOUR}
    with time_machine.travel(NOON, tick=False) as clock:
        old = generate_keys(user)
        generate_keys(user)
        assert works(old)
        clock.shift(HOUR)
        assert not works(old)

    generate_keys(user, grace=timedelta(0))

    key = ApiKey.objects.get()
    assert (key.previous_digest, key.previous_expires_at) == ("", None)


def test_grace_lasts_at_most_ten_years(user):
    longest = 3650 * DAY
    generate_keys(user)

    assert code_of(lambda: generate_keys(user, grace=longest + TICK)) == "grace"
    key = generate_keys(user, grace=longest).instance
    assert key.previous_expires_at - key.rotated_at == longest


@pytest.mark.parametrize("grace", [HOUR, timedelta(0)])
def test_only_the_last_secret_has_a_grace(user, grace):
    first, second = (generate_keys(user, grace=HOUR) for _ in range(2))
    third = generate_keys(user, grace=grace)

    assert [works(keys) for keys in (first, second, third)] == [False, bool(grace), True]


def test_rotation_clears_the_last_use_of_the_old_secret(user):
    generate_keys(user, grace=HOUR)
    generate_keys(user, grace=HOUR)
    ApiKey.objects.update(previous_used_at=NOON)

    generate_keys(user, grace=HOUR)

    assert ApiKey.objects.get().previous_used_at is None


# Lifetimes


@pytest.mark.parametrize(
    ("default", "longest", "days"),
    [(None, None, None), (90, None, 90), (None, 365, 365), (90, 365, 90), (365, 90, 90)],
)
def test_default_lifetime(user, settings, default, longest, days):
    settings.FRAPPE_TOKENS = {
        "DEFAULT_LIFETIME": default and timedelta(days=default),
        "MAX_LIFETIME": longest and timedelta(days=longest),
    }
    with time_machine.travel(NOON, tick=False):
        expires_at = generate_keys(user).instance.expires_at

    assert expires_at == (NOON + timedelta(days=days) if days else None)


def test_max_lifetime_bounds_the_expiry(user, settings):
    settings.FRAPPE_TOKENS = {"MAX_LIFETIME": DAY}
    with time_machine.travel(NOON, tick=False):
        for _ in range(2):  # a new key, and the same key again
            assert code_of(lambda: generate_keys(user, expires_at=NOON + DAY + TICK)) == "expiry"
            keys = generate_keys(user, expires_at=NOON + DAY)
        with pytest.raises(ValidationError, match=r"must expire by March 1, 2030, noon\."):
            generate_keys(user, expires_at=NOON + 2 * DAY)

    assert keys.instance.expires_at == NOON + DAY


@pytest.mark.parametrize("days", [None, 1, 60])
def test_rotation_brings_a_key_within_max_lifetime(user, settings, days):
    with time_machine.travel(NOON, tick=False):
        generate_keys(user, expires_at=days and NOON + days * DAY)
        settings.FRAPPE_TOKENS = {"MAX_LIFETIME": 30 * DAY}
        assert generate_keys(user).instance.expires_at == NOON + min(days or 30, 30) * DAY


# Revoking


def test_revoking_ends_a_key_at_once(keys, system_manager):
    assert revoke(keys.instance, reason="leaked", by=Actor(system_manager)) is True

    key = ApiKey.objects.get()
    assert attempt(keys) is Reason.KEY_REVOKED
    assert key.revoked_at is not None
    assert (key.revoked_by, key.revoked_reason, key.live) == (system_manager, "leaked", None)
    assert model_values(key) == model_values(keys.instance)


def test_revoking_again_changes_nothing(keys, system_manager):
    stale = ApiKey.objects.get()
    revoke(keys.instance, reason="leaked")
    before = rows()

    for key in (keys.instance, stale):
        assert revoke(key, reason="again", by=Actor(system_manager)) is False
    assert rows() == before == [model_values(stale)]


def test_revoking_ends_a_grace_too(user):
    old = generate_keys(user)
    new = generate_keys(user, grace=HOUR)

    revoke(new.instance)

    # Nothing is left of the old secret.
    assert (attempt(old), attempt(new)) == (Reason.INVALID_CREDENTIALS, Reason.KEY_REVOKED)


@pytest.mark.parametrize("name", ["", "backup"])
def test_generating_under_a_revoked_keys_name_makes_a_new_key(user, name):
    revoked = []
    for _ in range(2):
        revoked.append(generate_keys(user, name=name))
        revoke(revoked[-1].instance)

    new = generate_keys(user, name=name)

    assert works(new)
    assert {attempt(old) for old in revoked} == {Reason.KEY_REVOKED}
    assert len({keys.api_key for keys in (*revoked, new)}) == ApiKey.objects.count() == 3


def test_long_reason_is_cut(keys):
    revoke(keys.instance, reason="x" * 1000)
    assert ApiKey.objects.get().revoked_reason == "x" * 200


def test_revoking_a_key_that_was_deleted_meanwhile_changes_nothing(keys):
    ApiKey.objects.all().delete()
    assert revoke(keys.instance) is False


# Who may


def test_new_key_records_its_creator(user, system_manager):
    assert generate_keys(user, by=Actor(system_manager)).instance.created_by == system_manager
    assert generate_keys(user).instance.created_by == system_manager
    assert generate_keys(user, name="shell").instance.created_by is None


# Where no secret is shown

CANARY = "Canary0123456789"


@pytest.fixture
def canary(monkeypatch):
    """A secret that can be looked for; it is what will be generated."""
    body = "fts_" + (CANARY * 3)[:43]
    secret = body + crypto.checksum(body)
    monkeypatch.setattr(crypto, "generate_api_secret", lambda: crypto.Secret(secret))
    return secret


def test_repr_of_what_is_returned_hides_the_secret(user, canary):
    keys = generate_keys(user)
    parsed = parse(token_header(keys), "token")

    assert keys.api_secret == canary
    assert keys.api_key in repr(keys)
    for shown in (
        f"{keys} {keys!r} {copy.deepcopy(keys)!r}",
        repr(replace(keys, api_secret=str(keys.api_secret))),
        f"{keys.token!r} {keys.header!r}",
        f"{keys.instance} {keys.instance!r} {vars(keys.instance)!r}",
        repr([keys.api_secret, {"secret": keys.api_secret}, (keys.token,)]),
        f"{Actor(user, keys.instance)!r} {parsed!r} {[parsed.api_secret]!r}",
    ):
        assert CANARY not in shown


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("many", [True, False])
def test_error_page_about_a_failing_generation_hides_the_secret(
    user, canary, settings, debug, exists, many
):
    def fail(execute, sql, params, *more):
        # SQLite locks by an UPDATE of the name.
        if sql.startswith(("INSERT", "UPDATE")) and "secret_digest" in sql:
            raise RuntimeError("the disk is full")
        return execute(sql, params, *more)

    settings.DEBUG = debug
    if exists:
        generate_keys(user)

    with connection.execute_wrapper(fail):
        call = partial(generate_keys_for_users, [user]) if many else partial(generate_keys, user)
        page = technical_page(call, RuntimeError)

    assert "generate_keys" in page
    assert "the disk is full" in page
    assert CANARY not in page


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("fails", ["view", "lookup", "setting"])
def test_error_page_of_a_failure_hides_the_presented_secret(
    user, canary, settings, header_of, monkeypatch, fails, debug
):
    def broken(*args, **options):
        raise RuntimeError("something else is broken")

    header = header_of(generate_keys(user))
    settings.DEBUG = debug
    if fails == "setting":
        settings.FRAPPE_TOKENS = {"NUM_PROXIES": -1, "PEPPERS": ["short"]}
    if fails == "lookup":
        monkeypatch.setattr("frappe_tokens.lookup.record_use", broken)

    client = Client(raise_request_exception=False)
    response = client.get("/broken/", headers={"authorization": header})

    page = response.content.decode()
    error = "ImproperlyConfigured" if fails == "setting" else "something else is broken"
    assert (response.status_code, error in page) == (500, debug)
    assert CANARY not in page
    assert header.split()[1] not in page


def test_no_exception_carries_the_secret(user, canary):
    request = HttpRequest()
    request.META["HTTP_AUTHORIZATION"] = token_header(generate_keys(user))
    revoke(ApiKey.objects.get())

    page = technical_page(
        lambda: TokenAuthentication().authenticate(request), AuthenticationRefused
    )

    assert CANARY not in page


def test_expiry_is_naive_where_time_zones_are_off(user, settings):
    aware = django_timezone.now() + DAY
    naive = aware.replace(tzinfo=None)
    with pytest.raises(ValidationError, match="The expiry needs a time zone"):
        generate_keys(user, expires_at=naive)

    settings.USE_TZ = False

    with pytest.raises(ValidationError, match="The expiry must not have a time zone"):
        generate_keys(user, expires_at=aware)
    assert generate_keys(user, expires_at=naive).instance.expires_at == naive


def test_actor_may_be_read_from_a_replica(user, make_user):
    manager = make_user("root", is_superuser=True)
    manager._state.db = "replica"

    assert generate_keys(user, by=Actor(manager)).instance.created_by_id == manager.pk
