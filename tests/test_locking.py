import sqlite3
from contextlib import closing

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from frappe_tokens.account import views as account_views
from frappe_tokens.api import keys as api_keys
from frappe_tokens.api import rpc
from frappe_tokens.crypto import Secret
from frappe_tokens.keys import (
    ImportedPair,
    generate_keys,
    generate_keys_for_source,
    import_keys,
    locking,
    set_up_pair,
)
from frappe_tokens.keys.actors import Actor
from frappe_tokens.keys.locking import (
    find_user,
    lock_active_users,
    lock_for_deletion,
    lock_rows,
    lock_users,
    unrevoked_keys,
)
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


def test_old_sqlite_allows_999_parameters(make_user):
    if not hasattr(sqlite3.Connection, "setlimit") or connection.vendor != "sqlite":
        leave_out("older SQLite", "Python 3.11 and SQLite set the limit", in_ci_too=True)
    user = make_user("ada")
    keys = [ApiKey(user=user, name=str(number)) for number in range(1000)]
    before = connection.connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)
    try:
        ApiKey.objects.bulk_create(keys, batch_size=10)
        assert list(lock_users(range(user.pk, user.pk + 1000))) == [user.pk]
        assert list(lock_users(str(pk) for pk in range(user.pk, user.pk + 1000))) == [user.pk]
        assert len(lock_rows(ApiKey, keys, None)) == 1000
    finally:
        connection.connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, before)


def test_users_are_locked_in_the_order_of_the_database(make_user, monkeypatch):
    """Two calls in other orders would wait for each other."""
    monkeypatch.setattr(locking, "LOCK_SIZE", 4)
    pks = [make_user(f"user{number}").pk for number in range(20)]

    assert list(lock_users(reversed(pks))) == pks
    if connection.vendor != "sqlite":  # which locks all at once
        assert list(lock_users(map(str, pks))) == pks


def is_locked(user, strength="UPDATE"):
    """Whether another connection would wait for the row (on SQLite: for any write)."""
    sql = f"SELECT 1 FROM auth_user WHERE id = {user.pk} FOR {strength} NOWAIT"
    with closing(connection.copy()) as other, other.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA busy_timeout = 0")
            sql = "BEGIN IMMEDIATE"
        try:
            cursor.execute(sql)
        except DatabaseError:
            return True
    return False


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("lock", "also_for_references"),
    [
        (lambda key: lock_users([key.user_id]), False),
        (lambda key: lock_active_users(), False),
        (lambda key: lock_rows(ApiKey, [key], None), False),
        (lambda key: lock_for_deletion(key.user, "default"), True),
    ],
    ids=["users", "active users", "rows", "deletion"],
)
def test_users_are_locked_until_the_end_of_the_transaction(keys, lock, also_for_references):
    user = keys.instance.user
    with transaction.atomic():
        lock(keys.instance)
        assert is_locked(user)
        if connection.vendor == "postgresql":  # a row that refers to the user can be inserted
            assert is_locked(user, "KEY SHARE") == also_for_references
    assert not is_locked(user)


def test_only_mysql_locks_who_makes_the_call_too(make_user):
    ada, grace = make_user("ada"), make_user("grace")
    also = {grace.pk} if connection.vendor == "mysql" else set()

    assert set(lock_users([ada.pk], Actor(grace))) == {ada.pk} | also
    for nobody in (None, Actor(None)):
        assert set(lock_users([ada.pk], nobody)) == {ada.pk}


def test_text_that_databases_do_not_accept_is_no_username(user):
    assert find_user("ada") == user
    assert find_user("ada\0") is find_user("ada\udcff") is None


@pytest.mark.django_db(transaction=True)
def test_user_is_locked_first(user, cached_keys):
    """In any other order, a parallel call ends in a deadlock, or SQLite refuses to write."""
    generate_keys(user)

    with CaptureQueriesContext(connection) as captured:
        user.delete()

    statements = [query["sql"] for query in captured]
    if connection.vendor == "sqlite":
        assert statements[statements.index("BEGIN") + 1].startswith("UPDATE")
    else:
        lock = next(number for number, sql in enumerate(statements) if "FOR UPDATE" in sql)
        assert "auth_user" in statements[lock]
        assert not any(sql.startswith(("DELETE", "UPDATE")) for sql in statements[:lock])


@pytest.mark.django_db(transaction=True)
def test_keys_of_others_are_left_alone(make_user):
    ada, grace = make_user("ada"), make_user("grace")
    key, _other = (generate_keys(user, name="ci").instance for user in (ada, grace))

    with transaction.atomic():
        assert unrevoked_keys([ada], "ci") == {ada.pk: key}


@pytest.fixture
def repeatable_read():
    """Transactions read what was stored when they began, as is MySQL's default."""
    if connection.vendor != "mysql":
        leave_out("database server", "only MySQL locks rows that a snapshot hasn't", in_ci_too=True)
    level = "SET SESSION TRANSACTION ISOLATION LEVEL"
    with connection.cursor() as cursor:
        cursor.execute(f"{level} REPEATABLE READ")
    yield
    with connection.cursor() as cursor:
        cursor.execute(f"{level} READ COMMITTED")


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
def test_key_that_is_newer_than_the_transaction_is_found(user, repeatable_read, rotate):
    with transaction.atomic():
        assert not ApiKey.objects.exists()
        (first,), _errors = at_once(lambda: generate_keys(user))
        rotate(first)

    assert ApiKey.objects.get().api_key == first.api_key


@pytest.mark.parallel
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "make",
    [
        lambda user: generate_keys(user, name="more"),
        lambda user: import_keys([ImportedPair(1, "ada", "chosen", Secret("Canary" * 6))]),
    ],
    ids=["generate", "import"],
)
def test_key_that_is_newer_than_the_transaction_counts(user, repeatable_read, settings, make):
    settings.FRAPPE_TOKENS = {"MAX_KEYS_PER_USER": 1}

    with transaction.atomic():
        assert not ApiKey.objects.exists()
        at_once(lambda: generate_keys(user, name="first"))
        with pytest.raises(ValidationError):
            make(user)

    assert ApiKey.objects.get().name == "first"
