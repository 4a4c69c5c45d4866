"""Generating, rotating and revoking keys, and who may."""

import copy
from datetime import datetime, timedelta, timezone

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.urls import path
from django.utils import timezone as django_timezone
from django.views.debug import ExceptionReporter
from rest_framework.request import Request
from rest_framework.views import APIView

from frappe_tokens import crypto
from frappe_tokens.authentication import (
    BasicAuthentication,
    BearerAuthentication,
    TokenAuthentication,
)
from frappe_tokens.credentials import parse
from frappe_tokens.exceptions import Reason, Refused
from frappe_tokens.keys import (
    change_key,
    clean_name,
    create_key,
    generate_keys,
    generate_keys_for_users,
    revoke,
)
from frappe_tokens.keys.actors import Actor
from frappe_tokens.models import ApiKey
from frappe_tokens.verification.decision import verify

from .conftest import info_of, token_header

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

NOON = datetime(2030, 2, 28, 12, tzinfo=timezone.utc)
DAY = timedelta(days=1)


class Broken(APIView):
    authentication_classes = [TokenAuthentication, BasicAuthentication, BearerAuthentication]

    def get(self, request):
        raise RuntimeError("something else is broken")


urlpatterns = [path("broken/", Broken.as_view())]


def works(keys):
    return why_not(keys) is None


def why_not(keys):
    credential = parse(token_header(keys), "token")
    assert credential is not None
    try:
        verify(credential, info_of())
    except Refused as refused:
        return refused.reason
    return None


def code_of(call):
    with pytest.raises(ValidationError) as raised:
        call()
    assert raised.value.messages[0]
    return str(raised.value.code)


# Generating


def test_generated_key_works(user):
    keys = generate_keys(user)
    assert works(keys)
    assert keys.instance == ApiKey.objects.get()
    assert keys.api_key == keys.instance.api_key
    assert keys.instance.user == user
    assert keys.token == f"{keys.api_key}:{keys.api_secret}"
    assert keys.header == f"Authorization: {token_header(keys)}"


def test_secret_is_stored_as_a_digest_only(keys):
    row = ApiKey.objects.values().get()
    assert row["secret_digest"] == crypto.make_digest(keys.api_secret)
    assert keys.api_secret not in repr(row)
    assert keys.api_secret not in repr(vars(keys.instance))


def test_secret_and_api_key_cannot_be_chosen(user):
    for option in ("api_secret", "secret", "secret_digest", "api_key"):
        for function in (generate_keys, create_key):
            with pytest.raises(TypeError, match=f"not options of a key: {option}"):
                function(user, **{option: "chosen"})
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("option", ["scopes", "allowed_ips"])
def test_none_does_not_mean_unrestricted(user, option):
    with pytest.raises(TypeError):
        generate_keys(user, **{option: None})
    with pytest.raises((TypeError, AttributeError)):
        generate_keys(user, expires_at="")

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


def test_policies_are_stored(user):
    expires_at = datetime.now(timezone.utc) + DAY
    keys = generate_keys(
        user,
        name="all",
        expires_at=expires_at,
        scopes=("todo", "user"),
        read_only=True,
        allowed_ips=iter(["192.0.2.0/24", "2001:db8::1"]),
    )
    stored = ApiKey.objects.get(pk=keys.instance.pk)
    assert stored.expires_at == expires_at
    assert stored.scopes == ["todo", "user"]
    assert stored.read_only is True
    assert stored.allowed_ips == ["192.0.2.0/24", "2001:db8::1"]


@pytest.mark.parametrize(
    "policies",
    [
        {"scopes": ["with space"]},
        {"scopes": "todo"},  # which would be four scopes of one letter
        {"allowed_ips": ["nonsense"]},
        {"allowed_ips": "::"},
        {"rate_limit": "often"},
        {"expires_at": datetime(2100, 1, 1)},
        {"expires_at": datetime(2020, 1, 1, tzinfo=timezone.utc)},
        {"grace": -DAY},
        {"grace": timedelta.max},
    ],
    ids=str,
)
def test_invalid_option_is_refused(user, policies):
    before = generate_keys(user)
    for name in ("", "new"):
        code_of(lambda name=name: generate_keys(user, name=name, **policies))
    assert ApiKey.objects.values().get() == model_values(before.instance)
    assert works(before)


def model_values(key):
    return {field.attname: getattr(key, field.attname) for field in key._meta.concrete_fields}


def test_user_deactivated_meanwhile_gets_no_key(user):
    get_user_model()._default_manager.filter(pk=user.pk).update(is_active=False)
    assert user.is_active
    assert code_of(lambda: generate_keys(user)) == "user_inactive"
    assert not ApiKey.objects.exists()


def test_user_who_is_not_stored_gets_no_key(user, make_user):
    deleted = make_user("gone")
    get_user_model()._default_manager.filter(pk=deleted.pk).delete()
    for nobody in (AnonymousUser(), get_user_model()(), deleted):
        assert code_of(lambda nobody=nobody: generate_keys(nobody)) == "no_user"
        users = [user, nobody]
        assert code_of(lambda users=users: generate_keys_for_users(users)) == "no_user"
    assert not ApiKey.objects.exists()


# Rotating


def test_rotation_replaces_nothing_but_the_secret(user):
    old = generate_keys(
        user,
        expires_at=datetime.now(timezone.utc) + DAY,
        scopes=["todo"],
    )
    ApiKey.objects.update(
        read_only=True,
        allowed_ips=["127.0.0.0/8"],
        rate_limit="5/minute",
        last_used_at=NOON,
        created_by=user,
    )
    before = ApiKey.objects.values().get()
    new = generate_keys(user)
    after = ApiKey.objects.values().get()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"secret_digest", "rotated_at"}
    assert (new.api_key, new.instance) == (old.api_key, old.instance)
    assert why_not(old) is Reason.INVALID_CREDENTIALS


def test_rotation_applies_given_policies(keys):
    generate_keys(keys.instance.user, read_only=True)
    generate_keys(keys.instance.user, scopes=["todo"])
    generate_keys(keys.instance.user, allowed_ips=["192.0.2.1"])
    key = ApiKey.objects.get()
    assert (key.read_only, key.scopes, key.allowed_ips) == (True, ["todo"], ["192.0.2.1"])


def test_default_grace_is_rotation_grace(user, settings):
    old = generate_keys(user)
    generate_keys(user)
    assert not works(old)
    settings.FRAPPE_TOKENS = {"ROTATION_GRACE": timedelta(hours=1)}
    with time_machine.travel(NOON, tick=False) as clock:
        old = generate_keys(user)
        generate_keys(user)
        assert works(old)
        clock.shift(timedelta(hours=1))
        assert not works(old)
    generate_keys(user, grace=timedelta(0))
    key = ApiKey.objects.get()
    assert (key.previous_digest, key.previous_expires_at) == ("", None)


@pytest.mark.parametrize("grace", [timedelta(hours=1), timedelta(0)])
def test_only_the_last_secret_has_a_grace(user, grace):
    first, second = (generate_keys(user, grace=timedelta(hours=1)) for _ in range(2))
    third = generate_keys(user, grace=grace)
    assert [works(keys) for keys in (first, second, third)] == [False, bool(grace), True]


def test_rotation_clears_the_last_use_of_the_old_secret(user):
    generate_keys(user)
    generate_keys(user, grace=timedelta(hours=1))
    ApiKey.objects.update(previous_used_at=NOON)
    generate_keys(user, grace=timedelta(hours=1))
    assert ApiKey.objects.get().previous_used_at is None


def test_key_from_a_frappe_site_is_rotated_like_any(user):
    ApiKey.objects.create(
        user=user,
        api_key="0a1b2c3d4e5f607",
        secret_digest=crypto.make_digest("fedcba987654321"),
    )
    keys = generate_keys(user)
    assert keys.api_key == "0a1b2c3d4e5f607"
    assert works(keys)


def test_expired_key_is_not_rotated_without_a_later_expiry(user):
    with time_machine.travel(NOON, tick=False) as clock:
        old = generate_keys(user, expires_at=NOON + DAY)
        clock.move_to(NOON + DAY)
        assert code_of(lambda: generate_keys(user)) == "key_expired"
        assert ApiKey.objects.get().secret_digest == old.instance.secret_digest
        new = generate_keys(user, expires_at=NOON + 2 * DAY)
        assert new.api_key == old.api_key
        assert works(new)
        assert not works(old)


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
        late = NOON + DAY + timedelta(microseconds=1)
        assert code_of(lambda: generate_keys(user, expires_at=late)) == "expiry"
        keys = generate_keys(user, expires_at=NOON + DAY)
        assert keys.instance.expires_at == NOON + DAY
        assert code_of(lambda: generate_keys(user, expires_at=late)) == "expiry"


@pytest.mark.parametrize("days", [None, 1, 60])
def test_rotation_brings_a_key_within_max_lifetime(user, settings, days):
    with time_machine.travel(NOON, tick=False):
        generate_keys(user, expires_at=days and NOON + days * DAY)
        settings.FRAPPE_TOKENS = {"MAX_LIFETIME": 30 * DAY}
        assert generate_keys(user).instance.expires_at == NOON + min(days or 30, 30) * DAY


# Revoking


def test_revoking_ends_a_key_at_once(keys, system_manager):
    assert revoke(keys.instance, reason="leaked", by=Actor(system_manager)) is True
    assert why_not(keys) is Reason.KEY_REVOKED
    key = ApiKey.objects.get()
    assert key.revoked_at is not None
    assert key.revoked_by == system_manager
    assert key.revoked_reason == "leaked"
    assert key.live is None
    assert model_values(key) == model_values(keys.instance)


def test_revoking_again_changes_nothing(keys, system_manager):
    stale = ApiKey.objects.get()
    assert revoke(keys.instance, reason="leaked")
    before = ApiKey.objects.values().get()
    for key in (keys.instance, stale):
        assert revoke(key, reason="again", by=Actor(system_manager)) is False
    assert ApiKey.objects.values().get() == before
    assert model_values(stale) == before


def test_revoking_ends_a_grace_too(user):
    old = generate_keys(user)
    new = generate_keys(user, grace=timedelta(hours=1))
    revoke(new.instance)
    # Not as of a revoked key: nothing is left of it.
    assert why_not(old) is Reason.INVALID_CREDENTIALS
    assert why_not(new) is Reason.KEY_REVOKED


def test_generating_under_a_revoked_keys_name_makes_a_new_key(user):
    for name in ("", "backup"):
        old = generate_keys(user, name=name)
        revoke(old.instance)
        new = generate_keys(user, name=name)
        assert new.api_key != old.api_key
        assert works(new)
        assert why_not(old) is Reason.KEY_REVOKED
    assert ApiKey.objects.count() == 4


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


def test_group_permission_and_superusers_may_generate(system_manager, make_user, user):
    assert Group.objects.filter(name="System Manager", user=system_manager).exists()
    permitted = make_user("grace", permissions=("frappe_tokens.generate_keys",))
    superuser = make_user("root", is_superuser=True)
    for by in (system_manager, permitted, superuser):
        assert works(generate_keys(user, by=Actor(by)))
    assert works(generate_keys(superuser, by=Actor(superuser)))


def denied(user, actor):
    """Whether ``actor`` may neither make, nor rotate, nor widen, nor revoke a key of ``user``."""
    existing = generate_keys(user, name="existing", read_only=True)
    before = list(ApiKey.objects.order_by("pk").values())
    for arguments in ({}, {"name": "existing"}, {"name": "existing", "scopes": ["more"]}):
        with pytest.raises(PermissionDenied):
            generate_keys(user, by=actor, **arguments)
    assert list(ApiKey.objects.order_by("pk").values()) == before
    return works(existing)


def test_user_without_the_permission_may_not(user, make_user):
    staff = make_user("staff", is_staff=True, permissions=("frappe_tokens.change_apikey",))
    inactive = make_user("gone", is_active=False, is_superuser=True)
    for nobody in (staff, user, AnonymousUser(), inactive, None):
        assert denied(user, Actor(nobody))
        with pytest.raises(PermissionDenied):
            revoke(generate_keys(user).instance, by=Actor(nobody))
    assert works(generate_keys(user))


@pytest.mark.parametrize("meanwhile", [False, True])
def test_only_a_superuser_may_generate_for_a_superuser(make_user, system_manager, meanwhile):
    target = make_user("root", is_superuser=not meanwhile)
    get_user_model()._default_manager.filter(pk=target.pk).update(is_superuser=True)
    assert denied(target, Actor(system_manager))


@pytest.mark.parametrize("policies", [{"read_only": True}, {"scopes": ["todo"]}])
@pytest.mark.parametrize("superuser", [True, False])
def test_request_with_a_limited_key_may_not(make_user, system_manager, user, policies, superuser):
    system_manager.is_superuser = superuser
    system_manager.save()
    limited = generate_keys(system_manager, name="limited", **policies).instance
    actor = Actor(system_manager, limited)
    assert not actor.may_generate
    assert denied(user, actor)
    with pytest.raises(PermissionDenied):
        revoke(generate_keys(user).instance, by=actor)
    with pytest.raises(PermissionDenied):  # nor rotate and widen itself
        generate_keys(system_manager, name="limited", by=actor)
    with pytest.raises(PermissionDenied):
        change_key(limited, scopes=[], read_only=False, by=actor)


@pytest.mark.parametrize("credential", ["a token", object(), {"scope": "all"}, 0, ""])
def test_request_with_a_credential_of_another_kind_may_not(system_manager, user, credential):
    assert denied(user, Actor(system_manager, credential))


def test_refused_actor_learns_nothing_of_the_user(make_user, user):
    inactive = make_user("gone", is_active=False)
    with pytest.raises(PermissionDenied):
        generate_keys(inactive, by=Actor(user))


# Where a secret is not

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
    assert keys.api_secret == canary
    for shown in (
        repr(keys),
        str(keys),
        f"{keys} {keys!r}",
        f"{keys.token!r} {keys.header!r}",
        repr(copy.deepcopy(keys)),
        repr(keys.instance),
        str(keys.instance),
        repr(vars(keys.instance)),
        repr(Actor(user, keys.instance)),
        repr(parse(token_header(keys), "token")),
        repr([keys.api_secret, {"secret": keys.api_secret}, (keys.token,)]),
    ):
        assert CANARY not in shown
    assert keys.api_key in repr(keys)


def technical_page(call, error):
    with pytest.raises(error) as raised:
        call()
    reporter = ExceptionReporter(RequestFactory().get("/"), raised.type, raised.value, raised.tb)
    return reporter.get_traceback_html() + reporter.get_traceback_text()


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("many", [True, False])
def test_error_page_about_a_failing_generation_hides_the_secret(
    user, canary, settings, debug, exists, many
):
    def full(execute, sql, params, *more):
        # SQLite locks by an UPDATE of the name.
        if sql.startswith(("INSERT", "UPDATE")) and "secret_digest" in sql:
            raise RuntimeError("the disk is full")
        return execute(sql, params, *more)

    settings.DEBUG = debug
    if exists:
        generate_keys(user)
    with connection.execute_wrapper(full):
        page = technical_page(
            lambda: generate_keys_for_users([user]) if many else generate_keys(user), RuntimeError
        )
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
    assert response.status_code == 500
    page = response.content.decode()
    error = "ImproperlyConfigured" if fails == "setting" else "something else is broken"
    assert (error in page) is debug
    assert CANARY not in page
    assert header.split()[1] not in page


def test_no_exception_carries_the_secret(user, canary):
    request = HttpRequest()
    request.META["HTTP_AUTHORIZATION"] = token_header(generate_keys(user))
    revoke(ApiKey.objects.get())
    page = technical_page(
        lambda: TokenAuthentication().authenticate(
            Request(request, authenticators=[TokenAuthentication()])
        ),
        Exception,
    )
    assert "AuthenticationRefused" in page
    assert CANARY not in page


def test_expiry_is_naive_where_time_zones_are_off(user, settings):
    aware = django_timezone.now() + timedelta(days=1)
    settings.USE_TZ = False

    with pytest.raises(ValidationError, match="must not have a time zone"):
        generate_keys(user, expires_at=aware)
    naive = django_timezone.now() + timedelta(days=1)
    assert generate_keys(user, expires_at=naive).instance.expires_at == naive


def test_actor_may_be_read_from_a_replica(user, make_user):
    manager = make_user("root", is_superuser=True)
    manager._state.db = "replica"

    assert generate_keys(user, by=Actor(manager)).instance.created_by_id == manager.pk
