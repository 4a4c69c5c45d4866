"""Users and their own keys, with ``SELF_SERVICE`` or the permission ``manage_own_keys``."""

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied, ValidationError

from frappe_tokens.keys import change_key, generate_keys, revoke
from frappe_tokens.keys.actors import Actor
from frappe_tokens.models import ApiKey

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def self_service(settings):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}


def test_inactive_and_anonymous_users_may_not_generate(user):
    type(user).objects.update(is_active=False)
    with pytest.raises(ValidationError, match="inactive"):  # since the request was authenticated
        generate_keys(user, by=Actor(user))
    user.refresh_from_db()
    for inactive in (user, AnonymousUser(), None):
        with pytest.raises(PermissionDenied):
            generate_keys(user, by=Actor(inactive))
    assert not ApiKey.objects.exists()


def test_user_model_without_permissions_allows_self_service(user, make_user, monkeypatch):
    other = make_user("grace")
    (model,) = (model for model in type(user).__mro__ if "has_perm" in vars(model))
    monkeypatch.delattr(model, "has_perm")
    assert not Actor(user).may_generate
    with pytest.raises(PermissionDenied):
        generate_keys(other, by=Actor(user))
    assert generate_keys(user, by=Actor(user)).instance.user == user


@pytest.fixture
def some(settings, make_user):
    """A user who may manage their own keys, although the setting is off."""
    settings.FRAPPE_TOKENS = {}
    return make_user("some", permissions=("frappe_tokens.manage_own_keys",))


def test_permission_is_for_some_users(some, user, client):
    by = Actor(some)
    assert not Actor(user).may_serve_self

    key = generate_keys(some, by=by, read_only=True).instance
    with pytest.raises(PermissionDenied):
        change_key(key, by=by, read_only=False)
    with pytest.raises(PermissionDenied):
        generate_keys(user, by=by)
    assert revoke(key, by=by)
    for owner, status in [(some, 200), (user, 403)]:
        client.force_login(owner)
        assert client.get("/account/api-keys/").status_code == status


@pytest.mark.parametrize("policies", [{"read_only": True}, {"scopes": ["todos"]}])
def test_permission_does_not_open_restricted_keys(some, policies):
    by = Actor(some, generate_keys(some, **policies).instance)

    assert not by.may_serve_self


def test_permission_needs_an_active_user(some):
    some.is_active = False

    assert not Actor(some).may_serve_self


@pytest.mark.parametrize("is_staff", [False, True])
def test_permission_does_not_protect_from_managers(system_manager, make_user, settings, is_staff):
    settings.FRAPPE_TOKENS = {}
    permission = ("frappe_tokens.manage_own_keys",)
    some = make_user("some", is_staff=is_staff, permissions=permission)

    assert Actor(system_manager).may_manage(some)
