"""An instance from the cache saves what was changed on it, and nothing else."""

import copy
import pickle

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db.models.signals import post_save

from frappe_tokens.credentials import parse
from frappe_tokens.lookup import cache as key_cache
from frappe_tokens.models import ApiKey
from frappe_tokens.verification.decision import verify

from .conftest import PASSWORD, info_of, token_header
from .test_key_cache import Replicas

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "replica"])


@pytest.fixture(autouse=True)
def keys_are_cached(settings):
    settings.FRAPPE_TOKENS = {"CACHE": "default", "REQUEST_LOG": "null"}
    cache.clear()
    key_cache.reset()
    yield
    cache.clear()
    key_cache.reset()


def authenticate(keys):
    """Return what becomes ``request.auth``."""
    return verify(parse(token_header(keys), "token"), info_of())


@pytest.fixture
def cached(keys):
    """The key from the cache. Meanwhile, its user was deactivated without a signal."""
    authenticate(keys)
    get_user_model().objects.update(is_active=False, email="new@example.com")
    key = authenticate(keys)
    assert key.user.is_active
    return key


def stored_user():
    return get_user_model().objects.using("default").get()


def change_name(user):
    user.first_name = "Ada"
    user.save()


def load_password(user):
    assert user.check_password(PASSWORD)
    change_name(user)


def save_copy(user):
    change_name(copy.copy(user))


def save_pickled(user):
    change_name(pickle.loads(pickle.dumps(user)))  # noqa: S301 - made a moment ago


def save_named_field(user):
    user.first_name = "Ada"
    user.save(update_fields=["first_name"])


def save_in_a_receiver(user):
    def save_again(instance, **_):
        post_save.disconnect(save_again)
        instance.save()

    post_save.connect(save_again)
    change_name(user)


@pytest.mark.parametrize(
    "save",
    [change_name, load_password, save_copy, save_pickled, save_named_field, save_in_a_receiver],
)
def test_deactivated_account_stays_deactivated(cached, save):
    save(cached.user)

    stored = stored_user()
    assert (stored.is_active, stored.email, stored.first_name) == (False, "new@example.com", "Ada")
    assert stored.check_password(PASSWORD)


def test_new_password_is_saved(cached):
    cached.user.set_password("another made-up password")
    cached.user.save()

    assert stored_user().check_password("another made-up password")
    assert not stored_user().is_active


def test_field_that_is_named_is_written(cached):
    cached.user.save(update_fields=["is_active"])

    assert (stored_user().is_active, stored_user().email) == (True, "new@example.com")


def test_refreshed_value_is_written(cached):
    cached.user.refresh_from_db()
    get_user_model().objects.update(is_active=True)

    cached.user.save()

    assert not stored_user().is_active


def test_copy_with_a_new_primary_key_has_the_cached_values(cached):
    cached.user.pk, cached.user.username = None, "twin"
    cached.user._state.adding = True
    cached.user.password = ""
    cached.user.save()

    assert get_user_model().objects.get(username="twin").is_active


def test_key_that_was_revoked_meanwhile_stays_revoked(keys):
    authenticate(keys)
    stored = ApiKey._base_manager.filter(pk=keys.instance.pk)
    stored.update(revoked_at="2030-01-01T00:00Z", live=None, read_only=True)
    cached = authenticate(keys)

    cached.rate_limit = "1/minute"
    cached.scopes.append("todos")
    cached.save()

    now = stored.get()
    assert now.is_revoked
    assert (now.read_only, now.rate_limit, now.scopes) == (True, "1/minute", ["todos"])


def test_user_that_was_read_from_a_replica_writes_changes_only(keys, settings):
    settings.DATABASE_ROUTERS = [Replicas()]
    authenticate(keys)
    get_user_model()._base_manager.using("default").update(is_active=False)
    user = authenticate(keys).user
    assert user._state.db == "replica"

    change_name(user)

    assert (stored_user().is_active, stored_user().first_name) == (False, "Ada")
