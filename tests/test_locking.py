import pytest
from django.db import connection, transaction

from frappe_tokens.account import views as account_views
from frappe_tokens.api import keys as api_keys
from frappe_tokens.api import rpc
from frappe_tokens.keys import generate_keys, generate_keys_for_source, locking, set_up_pair
from frappe_tokens.keys.locking import lock_active_users, lock_users
from frappe_tokens.models import ApiKey

from .groups import leave_out
from .test_parallel import at_once

pytestmark = pytest.mark.django_db


def test_user_model_without_is_active_has_only_active_users(user, monkeypatch):
    fields = [field for field in type(user)._meta.fields if field.name != "is_active"]
    monkeypatch.setattr(type(user)._meta, "fields", fields)
    type(user).objects.update(is_active=False)
    assert lock_active_users() == [user.pk]


def test_atomic_requests_are_off_on_every_database():
    def view():
        """Does nothing."""

    exempt = locking.outside_atomic_requests(view)
    assert exempt._non_atomic_requests == {"default", "replica"}
    for keys_view in (rpc.GenerateKeys, api_keys.KeyDetail, account_views.new_key):
        checked = keys_view.as_view() if hasattr(keys_view, "as_view") else keys_view
        assert checked._non_atomic_requests == {"default", "replica"}


def test_locks_any_number_of_users_of_any_kind_of_key(make_user):
    pks = [make_user("ada").pk, make_user("grace").pk]

    assert list(lock_users(range(pks[0], pks[0] + 100_000))) == pks
    assert sorted(lock_users(str(pk) for pk in pks)) == pks


@pytest.mark.parallel
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "rotate",
    [
        lambda keys: generate_keys(keys.instance.user),
        lambda keys: set_up_pair(keys.instance.user, keys.api_key, "Canary" * 6),
        lambda keys: generate_keys_for_source(keys.instance),
    ],
    ids=["by name", "by pair", "by row"],
)
def test_key_that_is_newer_than_the_transaction_is_found(user, rotate):
    if connection.vendor != "mysql":
        leave_out("database server", "only MySQL locks rows that a snapshot hasn't", in_ci_too=True)
    level = "SET SESSION TRANSACTION ISOLATION LEVEL"
    with connection.cursor() as cursor:
        cursor.execute(f"{level} REPEATABLE READ")
    try:
        with transaction.atomic():
            assert not ApiKey.objects.exists()
            (first,), _errors = at_once(lambda: generate_keys(user))
            rotate(first)
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"{level} READ COMMITTED")

    assert ApiKey.objects.get().api_key == first.api_key
