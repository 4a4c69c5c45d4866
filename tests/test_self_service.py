"""Users and their own keys, with ``SELF_SERVICE``."""

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied, ValidationError

from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.keys.actors import Actor
from frappe_tokens.models import ApiKey

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def self_service(settings):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}


def test_users_generate_rotate_and_revoke_their_own_keys(user):
    by = Actor(user)
    made = generate_keys(user, name="laptop", by=by)
    rotated = generate_keys(user, name="laptop", by=by)
    assert rotated.instance == made.instance
    assert rotated.instance.created_by == user
    assert revoke(rotated.instance, by=by)


def test_inactive_and_anonymous_users_may_not_generate(user):
    type(user).objects.update(is_active=False)
    with pytest.raises(ValidationError, match="inactive"):  # since the request was authenticated
        generate_keys(user, by=Actor(user))
    user.refresh_from_db()
    for nobody in (user, AnonymousUser(), None):
        with pytest.raises(PermissionDenied):
            generate_keys(user, by=Actor(nobody))
    assert not ApiKey.objects.exists()


def test_user_model_without_permissions_allows_self_service(user, make_user, monkeypatch):
    other = make_user("grace")
    (model,) = (model for model in type(user).__mro__ if "has_perm" in vars(model))
    monkeypatch.delattr(model, "has_perm")
    assert not Actor(user).may_generate
    with pytest.raises(PermissionDenied):
        generate_keys(other, by=Actor(user))
    assert generate_keys(user, by=Actor(user)).instance.user == user
