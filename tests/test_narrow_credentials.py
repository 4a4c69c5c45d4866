"""No request makes, rotates or widens a key beyond the limits of its own."""

import pytest
import time_machine
from django.contrib import admin
from django.core.exceptions import PermissionDenied

from frappe_tokens.keys import (
    change_key,
    change_user,
    generate_keys,
    generate_keys_for_source,
    generate_keys_for_users,
    plan_for,
    plan_for_row,
    revoke,
)
from frappe_tokens.keys.actors import Actor
from frappe_tokens.models import ApiKey
from testproject.events.models import EventConsumer

from .client import DAY, GENERATE, JSON, MINUTE, NOON, client_of, rows

pytestmark = pytest.mark.django_db

NARROW = {
    "expires_at": NOON + DAY,
    "allowed_ips": ["10.0.0.0/8", "127.0.0.0/8"],
    "rate_limit": "10/minute",
}
NARROWER = {"expires_at": NOON + MINUTE, "allowed_ips": ["10.1.0.0/16"], "rate_limit": "10/hour"}
WIDER = {"expires_at": NOON + 2 * DAY, "allowed_ips": ["0.0.0.0/0"], "rate_limit": "11/minute"}
LABELS = {"expires_at": "expires", "allowed_ips": "allowed addresses", "rate_limit": "rate limit"}
each_policy = pytest.mark.parametrize("name", NARROW)


@pytest.fixture(autouse=True)
def at_noon():
    with time_machine.travel(NOON, tick=False):
        yield


@pytest.fixture
def by(make_user, name):
    """A request of a superuser, by a key that is narrow by one policy."""
    root = make_user("root", is_superuser=True)
    return Actor(root, generate_keys(root, name="narrow", **{name: NARROW[name]}).instance)


def all_rows():
    return [*rows(), *rows(EventConsumer)]


def assert_refused(name, attempt):
    before = all_rows()
    sentence = rf"Restrict that one first \({LABELS[name]}\), or sign in instead"
    with pytest.raises(PermissionDenied, match=sentence):
        attempt()
    assert all_rows() == before


@each_policy
def test_new_key_is_as_narrow_as_the_credential_or_narrower(by, user, name):
    assert_refused(name, lambda: generate_keys(user, by=by, **{name: WIDER[name]}))

    key = generate_keys(user, by=by).instance
    narrower = generate_keys(user, name="narrower", by=by, **{name: NARROWER[name]}).instance

    assert getattr(key, name) == NARROW[name]
    assert key.policies == by.credential.policies
    assert getattr(narrower, name) == NARROWER[name]


def test_new_keys_of_many_users_are_as_narrow(system_manager, make_user):
    by = Actor(system_manager, generate_keys(system_manager, **NARROW).instance)

    made = generate_keys_for_users([make_user("grace"), make_user("ada")], by=by)

    first, second = (keys.instance for keys in made)
    first.allowed_ips.clear()
    assert second.policies == by.credential.policies
    for key in ApiKey.objects.all():
        assert key.policies == by.credential.policies


@pytest.mark.parametrize("days", [0.5, 2])
def test_default_lifetime_applies_if_it_ends_earlier(system_manager, user, settings, days):
    settings.FRAPPE_TOKENS = {"DEFAULT_LIFETIME": days * DAY}
    credential = generate_keys(system_manager, expires_at=NOON + DAY).instance

    key = generate_keys(user, by=Actor(system_manager, credential)).instance

    assert key.expires_at == NOON + min(days, 1) * DAY


def test_session_and_unrestricted_key_bind_nothing(system_manager, user):
    by = Actor(system_manager, generate_keys(system_manager).instance)

    made = generate_keys(user, by=Actor(system_manager))
    assert made.instance.policies == ApiKey().policies
    change_key(made.instance, rate_limit="1000/second", by=by)
    change_key(made.instance, rate_limit="", by=by)
    assert generate_keys(user, by=by).instance == made.instance


@each_policy
def test_wider_key_is_not_rotated(by, user, name):
    """The response would contain its new secret."""
    wide = generate_keys(user).instance
    row = EventConsumer.objects.create(name="Door", user=user)

    assert_refused(name, lambda: generate_keys(user, by=by))
    assert_refused(name, lambda: generate_keys_for_users([user], by=by))
    for instance in (wide, row):
        assert_refused(name, lambda instance=instance: generate_keys_for_source(instance, by=by))
    change_key(row, by=by, **{name: NARROW[name]})
    assert generate_keys_for_source(row, by=by).api_secret
    assert generate_keys(user, by=by, **{name: NARROW[name]}).instance == wide


@each_policy
def test_wider_row_does_not_run_as_another_user(by, user, make_user, name):
    grace = make_user("grace")
    row = EventConsumer.objects.create(name="Door", user=user)

    assert_refused(name, lambda: change_user(row, grace, by=by))
    change_key(row, by=by, **{name: NARROW[name]})
    change_user(row, grace, by=by)
    assert row.user == grace


@each_policy
def test_no_key_is_widened_beyond_the_credential(by, user, name):
    key = generate_keys(user, **{name: NARROWER[name]}).instance
    unlimited = {"expires_at": None, "allowed_ips": [], "rate_limit": ""}

    assert_refused(name, lambda: change_key(key, by=by, **{name: WIDER[name]}))
    assert_refused(name, lambda: change_key(by.credential, by=by, **{name: unlimited[name]}))
    change_key(key, by=by, **{name: NARROW[name]})
    assert getattr(key, name) == NARROW[name]
    rotated = generate_keys_for_source(by.credential, by=by)
    assert rotated.instance.policies == by.credential.policies


@each_policy
def test_wider_key_is_narrowed_renamed_and_revoked(by, user, name):
    wide = generate_keys(user, **{name: WIDER[name]}).instance

    change_key(wide, by=by, name="old", read_only=True)
    # Within what the credential has; what is wider of the key stays as it was.
    change_key(wide, by=by, read_only=False)

    assert getattr(wide, name) == WIDER[name]
    assert revoke(wide, by=by)


@each_policy
def test_confirmation_page_says_it(by, user, name):
    wide = generate_keys(user).instance
    row = EventConsumer.objects.create(name="Door", user=user)

    (plan,) = plan_for([user], by, may_renew=False)
    assert LABELS[name] in plan.blocked_by
    assert LABELS[name] in plan_for_row(row, by, may_renew=False).blocked_by
    revoke(wide)
    (plan,) = plan_for([user], by, may_renew=False)
    assert not plan.blocked_by


@each_policy
def test_row_added_in_the_admin_is_as_narrow(by, user, name, rf):
    request = rf.post("/")
    request.user, request.auth = by.user, by.credential
    model_admin = admin.site.get_model_admin(EventConsumer)

    row = EventConsumer(name="Door", user=user)
    model_admin.save_model(request, row, None, change=False)
    assert EventConsumer.objects.get().policies == by.credential.policies

    wide = EventConsumer(name="Gate", user=user, **{name: WIDER[name]})
    assert_refused(name, lambda: model_admin.save_model(request, wide, None, change=False))


def test_frappes_call_makes_a_key_as_narrow_and_rotates_no_wider_one(
    system_manager, user, make_user
):
    narrow = generate_keys(system_manager, **NARROW)
    client = client_of(narrow)
    generate_keys(make_user("grace"))
    before = rows()

    refused = client.post(GENERATE, {"user": "grace"})
    assert (refused.status_code, refused.json()["exc_type"]) == (403, "PermissionError")
    assert "(allowed addresses, rate limit, expires)" in refused.json()["exception"]
    assert rows() == before

    made = client.post(GENERATE, {"user": user.username}).json()["message"]
    assert ApiKey.objects.get(api_key=made["api_key"]).policies == narrow.instance.policies


# The old secret in its grace period


@pytest.mark.parametrize(("self_service", "alias"), [(False, None), (True, "default")])
def test_request_with_the_old_secret_manages_no_keys(
    system_manager, user, settings, self_service, alias
):
    """It ends soon, and must not make one that lasts."""
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": self_service, "CACHE": alias}
    old = generate_keys(system_manager)
    new = generate_keys(system_manager, grace=DAY)
    own = f"/api/keys/{old.api_key}/"

    for _attempt in range(2):
        before = rows()
        client = client_of(old)
        responses = [
            client.post(GENERATE, {"user": user.username}),
            client.post(GENERATE, {"user": system_manager.username}),
            client.post("/api/keys/", {"name": "lasting"}, JSON),
            client.post(f"{own}rotate/", {}, JSON),
            client.patch(own, {"name": "lasting"}, JSON),
            client.delete(own),
        ]
        assert [response.status_code for response in responses] == [403] * 6
        unused = {"previous_used_at", "last_used_at", "last_used_ip"}
        stored = [{name: row[name] for name in row.keys() - unused} for row in rows()]
        assert stored == [{name: row[name] for name in row.keys() - unused} for row in before]
    assert "a replaced secret" in responses[2].json()["detail"]
    assert client.get(own).status_code == 200

    assert client_of(new).post(GENERATE, {"user": user.username}).status_code == 200
    assert client_of(old).post(GENERATE, {"user": user.username}).status_code == 403
