"""An instance from the cache saves what was changed on it, and nothing else."""

import copy
import pickle

import pytest
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db.models.signals import post_save, pre_delete

from frappe_tokens.models import ApiKey

from .client import attempt
from .conftest import PASSWORD, receiving
from .replicas import Replicas

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "replica"]),
    pytest.mark.usefixtures("cached_keys"),
]


@pytest.fixture
def cached(keys):
    """The key from the cache, its user deactivated meanwhile in a way that sends no signal."""
    attempt(keys)
    users = get_user_model()._default_manager
    users.update(is_active=False, email="new@example.com")
    key = attempt(keys)
    assert key.user.is_active
    return key


def stored_user():
    return get_user_model()._default_manager.get()


def change_name(user):
    user.first_name = "Ada"
    user.save()


def load_password(user):
    assert user.check_password(PASSWORD)
    user.first_name = "Ada"
    user.save()


def save_copy(user):
    twin = copy.copy(user)
    twin.first_name = "Ada"
    twin.save()


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


def test_password_that_was_changed_meanwhile_stays(cached):
    assert cached.user.check_password(PASSWORD)
    other = stored_user()
    other.set_password("another made-up password")
    other.save()

    change_name(cached.user)

    assert stored_user().check_password("another made-up password")


def test_save_without_changes_writes_nothing(cached, statements):
    with statements() as verbs:
        cached.user.save()
    assert "UPDATE" not in verbs
    assert not stored_user().is_active


def test_value_that_is_set_is_written(cached):
    cached.user.is_active = True
    cached.user.set_password("another made-up password")
    cached.user.save()

    stored = stored_user()
    assert (stored.is_active, stored.email) == (True, "new@example.com")
    assert stored.check_password("another made-up password")


@pytest.mark.parametrize("is_named", [True, False])
def test_value_that_is_set_back_after_a_save_is_written(cached, is_named):
    for instance, name, new, old in [
        (cached.user, "last_name", "busy", ""),
        (cached, "read_only", True, False),
    ]:
        setattr(instance, name, new)
        instance.save(update_fields=[name] if is_named else None)

        setattr(instance, name, old)
        instance.save()

        assert getattr(instance, name) == old
    assert (stored_user().last_name, ApiKey.objects.get().read_only) == ("", False)
    assert not stored_user().is_active


def test_value_that_is_set_back_after_a_refresh_is_written(cached):
    get_user_model().objects.update(is_staff=True)
    cached.user.refresh_from_db(fields=["is_staff"])

    cached.user.is_staff = False
    cached.user.save()

    assert not stored_user().is_staff
    assert not stored_user().is_active


def test_list_that_is_changed_in_place_is_written_each_time(cached):
    for scope in ("todos", "events"):
        cached.scopes.append(scope)
        cached.save()

    assert ApiKey.objects.get().scopes == ["todos", "events"]


def test_save_to_another_database_writes_everything(cached):
    cached.user.first_name = "Ada"
    cached.user.save(using="replica")

    assert (stored_user().first_name, stored_user().email) == ("Ada", cached.user.email)
    assert cached.user.email != "new@example.com"


def test_user_that_was_refreshed_is_saved_whole(cached, statements):
    cached.user.refresh_from_db()
    assert not cached.user.is_active
    get_user_model()._default_manager.update(is_active=True)
    with statements() as verbs:
        cached.user.save()
    assert "UPDATE" in verbs
    assert not stored_user().is_active


def test_key_that_was_revoked_meanwhile_stays_revoked(keys):
    attempt(keys)
    stored = ApiKey._base_manager.filter(pk=keys.instance.pk)
    stored.update(revoked_at="2030-01-01T00:00Z", live=None, read_only=True)
    cached = attempt(keys)

    cached.rate_limit = "1/minute"
    cached.scopes.append("todos")
    cached.save()

    now = stored.get()
    assert now.is_revoked
    assert (now.read_only, now.rate_limit, now.scopes) == (True, "1/minute", ["todos"])


def test_cached_user_looks_like_any_other(cached):
    model = get_user_model()
    user = cached.user

    assert isinstance(user, model)
    assert user.__class__ is model
    assert user == stored_user()
    assert ContentType.objects.get_for_model(user).model_class() is model
    assert repr(user) == repr(stored_user())


def test_signals_are_sent_by_the_model_itself(cached):
    with receiving(post_save, pre_delete) as calls:
        change_name(cached.user)
        cached.user.delete()

    model = get_user_model()
    assert [call["sender"] for call in calls if call["sender"] is not ApiKey] == [model, model]
    assert not model._default_manager.exists()


def test_with_a_replica_a_cached_user_writes_changes_only(keys, settings):
    settings.DATABASE_ROUTERS = [Replicas()]
    attempt(keys)
    get_user_model()._base_manager.using("default").update(is_active=False)
    user = attempt(keys).user
    assert user._state.db == "default"

    change_name(user)

    stored = get_user_model()._base_manager.using("default").get()
    assert (stored.is_active, stored.first_name) == (False, "Ada")
