"""Users and their own keys, with ``SELF_SERVICE`` and without."""

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied, ValidationError

from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.keys.actors import Actor
from frappe_tokens.models import ApiKey

pytestmark = pytest.mark.django_db


@pytest.fixture
def self_service(settings):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}


@pytest.mark.usefixtures("self_service")
def test_users_make_rotate_and_revoke_their_own(user):
    by = Actor(user)
    made = generate_keys(user, name="laptop", by=by)
    rotated = generate_keys(user, name="laptop", by=by)
    assert rotated.instance == made.instance
    assert rotated.instance.created_by == user
    assert revoke(rotated.instance, by=by)


def test_nobody_does_without_the_setting(user):
    made = generate_keys(user)
    with pytest.raises(PermissionDenied):
        generate_keys(user, by=Actor(user))
    with pytest.raises(PermissionDenied):
        revoke(made.instance, by=Actor(user))


@pytest.mark.usefixtures("self_service")
def test_others_keys_are_out_of_reach(keys, make_user):
    stranger = Actor(make_user("eve"))
    with pytest.raises(PermissionDenied):
        generate_keys(keys.instance.user, by=stranger)
    with pytest.raises(PermissionDenied):
        revoke(keys.instance, by=stranger)
    assert ApiKey.objects.get().secret_digest == keys.instance.secret_digest


@pytest.mark.usefixtures("self_service")
def test_inactive_and_anonymous_users_make_none(user):
    user.is_active = False
    user.save()
    for nobody in (user, AnonymousUser(), None):
        with pytest.raises(PermissionDenied):
            generate_keys(user, by=Actor(nobody))
    assert not ApiKey.objects.exists()


@pytest.mark.usefixtures("self_service")
def test_user_who_was_deactivated_meanwhile_gets_none(user):
    type(user).objects.update(is_active=False)
    with pytest.raises(ValidationError, match="inactive"):
        generate_keys(user, by=Actor(user))
    assert not ApiKey.objects.exists()


@pytest.mark.usefixtures("self_service")
@pytest.mark.parametrize("restriction", [{"read_only": True}, {"scopes": ["todos"]}])
def test_restricted_request_makes_none(user, restriction):
    restricted = generate_keys(user, **restriction)
    by = Actor(user, restricted.instance)
    for name in ("", "another"):
        with pytest.raises(PermissionDenied):
            generate_keys(user, name=name, by=by)
    with pytest.raises(PermissionDenied):
        revoke(restricted.instance, by=by)
    assert ApiKey.objects.get().secret_digest == restricted.instance.secret_digest


@pytest.mark.usefixtures("self_service")
def test_request_with_a_foreign_credential_makes_none(user):
    with pytest.raises(PermissionDenied):
        generate_keys(user, by=Actor(user, "an OAuth access token"))


@pytest.mark.usefixtures("self_service")
def test_user_of_a_model_without_permissions_has_none_and_serves_themselves(
    user, make_user, monkeypatch
):
    other = make_user("grace")
    (model,) = (model for model in type(user).__mro__ if "has_perm" in vars(model))
    monkeypatch.delattr(model, "has_perm")
    assert not Actor(user).may_generate
    with pytest.raises(PermissionDenied):
        generate_keys(other, by=Actor(user))
    assert generate_keys(user, by=Actor(user)).instance.user == user


@pytest.mark.usefixtures("self_service")
def test_superuser_serves_themselves_too(make_user):
    root = make_user("root", is_superuser=True)
    assert generate_keys(root, by=Actor(root)).instance.user == root
