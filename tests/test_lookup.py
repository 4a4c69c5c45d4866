import logging
import time
from contextlib import closing, contextmanager

import pytest
from django.contrib.auth.models import Group
from django.db import (
    DatabaseError,
    InterfaceError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from django.test.utils import CaptureQueriesContext

from frappe_tokens import crypto, lookup
from frappe_tokens.db import LOCK_SECONDS
from frappe_tokens.keys import find_user, generate_keys
from frappe_tokens.lookup import last_used
from frappe_tokens.lookup.find import Found
from frappe_tokens.models import ApiKey

from .client import HOUR, MINUTE, NOON, TICK
from .groups import leave_out
from .replicas import KeysElsewhere

# With real commits: a use is written down at the end of the transaction.
pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "replica"])

PEPPERS = ["the newest pepper, long enough for HMAC", "an older pepper, long enough for HMAC"]


def record_use(key, now, secret, slot="secret_digest", address="192.0.2.1"):
    lookup.record_use(Found(key), now=now, secret=secret, slot=slot, address=lambda: address)


@pytest.mark.parametrize("field", ["id", "date_joined"])
def test_name_that_no_user_can_have_is_nobodys(user, monkeypatch, field):
    """Where users are named by a number, say."""
    monkeypatch.setattr(type(user), "USERNAME_FIELD", field)
    assert find_user("ada") is None


def test_brings_key_and_user_in_one_select(keys, django_assert_num_queries):
    with django_assert_num_queries(1):
        key = lookup.find(ApiKey, keys.api_key).key
        assert key.user.get_username() == "ada"
    assert key._state.db == key.user._state.db == "default"
    with django_assert_num_queries(1):
        assert lookup.find(ApiKey, "ftk_unknown") is None


@pytest.mark.parametrize("change", [str.lower, str.upper, str.swapcase, "{} ".format, " {}".format])
def test_finds_by_the_exact_key_only(keys, change):
    ApiKey.objects.update(api_key="ftk_MiXeD")
    assert lookup.find(ApiKey, "ftk_MiXeD") is not None
    assert lookup.find(ApiKey, change("ftk_MiXeD")) is None


def test_database_tells_keys_apart_by_case(keys, user):
    ApiKey.objects.update(api_key="ftk_mixed")
    assert not ApiKey.objects.filter(api_key="ftk_MIXED").exists()
    ApiKey.objects.create(user=user, name="other", api_key="ftk_MIXED")
    assert ApiKey.objects.filter(api_key="ftk_MIXED").count() == 1


def test_use_is_written_down(keys, user):
    other = generate_keys(user, name="other")
    record_use(keys.instance, NOON, keys.api_secret)
    stored = ApiKey.objects.get(pk=keys.instance.pk)
    assert (stored.last_used_at, stored.last_used_ip) == (NOON, "192.0.2.1")
    assert ApiKey.objects.get(pk=other.instance.pk).last_used_at is None
    assert (keys.instance.last_used_at, keys.instance.last_used_ip) == (NOON, "192.0.2.1")
    assert stored.previous_used_at is None


def test_unknown_address_replaces_a_known_one(keys):
    record_use(keys.instance, NOON, keys.api_secret)
    record_use(keys.instance, NOON + MINUTE, keys.api_secret, address="")
    assert ApiKey.objects.get().last_used_ip is None


@pytest.mark.parametrize("interval", [MINUTE, HOUR])
def test_use_is_written_at_most_once_an_interval(keys, settings, statements, interval):
    if interval != MINUTE:  # the default
        settings.FRAPPE_TOKENS = {"LAST_USED_INTERVAL": interval}
    record_use(keys.instance, NOON, keys.api_secret)
    key = ApiKey.objects.get()

    with statements() as early:
        record_use(key, NOON + interval - TICK, keys.api_secret)
        record_use(key, NOON - interval, keys.api_secret)  # the clock was set back
    with statements() as due:
        record_use(key, NOON + interval, keys.api_secret)

    assert (early, due) == ([], ["UPDATE"])
    assert ApiKey.objects.get().last_used_at == NOON + interval


def test_of_two_processes_that_find_it_due_one_writes(keys):
    one, other = ApiKey.objects.get(), ApiKey.objects.get()
    record_use(one, NOON, keys.api_secret)
    record_use(other, NOON + TICK, keys.api_secret, address="192.0.2.2")
    stored = ApiKey.objects.get()
    assert (stored.last_used_at, stored.last_used_ip) == (NOON, "192.0.2.1")


def test_use_of_the_old_secret_is_written_beside(keys):
    generate_keys(keys.instance.user, grace=HOUR)
    record_use(ApiKey.objects.get(), NOON, keys.api_secret, "previous_digest")
    stored = ApiKey.objects.get()
    assert (stored.last_used_at, stored.previous_used_at) == (NOON, NOON)


@pytest.mark.parametrize("made_with", [[], PEPPERS[1:]])
def test_outdated_digest_is_renewed_by_one_update(user, settings, statements, made_with):
    settings.FRAPPE_TOKENS = {"PEPPERS": made_with}
    keys = generate_keys(user)
    record_use(keys.instance, NOON, keys.api_secret)
    settings.FRAPPE_TOKENS = {"PEPPERS": PEPPERS}
    with statements() as verbs:
        record_use(keys.instance, NOON + TICK, keys.api_secret)  # not due for another reason
    assert verbs == ["UPDATE"]
    stored = ApiKey.objects.get()
    assert stored.secret_digest == crypto.make_digest(keys.api_secret)
    assert crypto.is_current(stored.secret_digest)
    with statements() as verbs:
        record_use(stored, NOON + TICK, keys.api_secret)
    assert verbs == []


def test_outdated_digest_of_the_old_secret_is_renewed_in_its_place(keys, settings):
    new = generate_keys(keys.instance.user, grace=HOUR)
    settings.FRAPPE_TOKENS = {"PEPPERS": PEPPERS}
    record_use(ApiKey.objects.get(), NOON, keys.api_secret, "previous_digest")
    stored = ApiKey.objects.get()
    assert stored.previous_digest == crypto.make_digest(keys.api_secret)
    assert stored.secret_digest == new.instance.secret_digest


def test_secret_that_is_replaced_meanwhile_stays_replaced(keys, settings):
    read_before = ApiKey.objects.get()
    settings.FRAPPE_TOKENS = {"PEPPERS": PEPPERS}
    new = generate_keys(keys.instance.user)
    record_use(read_before, NOON, keys.api_secret)
    assert ApiKey.objects.get().secret_digest == new.instance.secret_digest


@pytest.mark.parametrize("error", [DatabaseError, OperationalError, InterfaceError])
def test_use_that_cannot_be_written_down_is_logged_without_the_secret(
    keys, caplog, settings, error
):
    settings.FRAPPE_TOKENS = {"PEPPERS": PEPPERS}
    with connection.execute_wrapper(refuse_updates(error)):
        record_use(keys.instance, NOON, keys.api_secret)
    logged = [(entry.name, entry.levelno) for entry in caplog.records]
    assert logged == [("frappe_tokens.lookup", logging.ERROR)]
    assert keys.api_key in caplog.text
    assert keys.api_secret not in caplog.text
    assert keys.instance.last_used_at is None


def test_no_error_of_a_use_that_cannot_be_written_down_is_raised(keys):
    with connection.execute_wrapper(refuse_updates(RuntimeError)):
        record_use(keys.instance, NOON, keys.api_secret)
    assert keys.instance.last_used_at is None


@contextmanager
def transaction_by_hand(using="default"):
    transaction.set_autocommit(False, using)
    try:
        yield
        transaction.commit(using)
    finally:
        transaction.rollback(using)
        transaction.set_autocommit(True, using)


@pytest.mark.parametrize("within", [transaction.atomic, transaction_by_hand])
def test_update_that_fails_leaves_what_the_request_did(keys, within):
    with connection.execute_wrapper(break_updates), within():
        record_use(keys.instance, NOON, keys.api_secret)
        Group.objects.create(name="made by the request")

    assert Group.objects.filter(name="made by the request").exists()
    assert ApiKey.objects.get().last_used_at is None


@pytest.mark.parametrize("database", ["default", "replica"])
def test_use_is_written_down_in_a_transaction_run_by_hand(keys, settings, database):
    settings.DATABASE_ROUTERS = [KeysElsewhere(database)]
    with CaptureQueriesContext(connections[database]) as queries, transaction_by_hand(database):
        record_use(keys.instance, NOON, keys.api_secret)
        assert keys.instance.last_used_at == NOON
    assert ApiKey.objects.get().last_used_at == NOON
    # An error would end only what is between.
    sent = "; ".join(query["sql"] for query in queries)
    assert sent.index("SAVEPOINT") < sent.index("UPDATE ") < sent.index("RELEASE")


@pytest.mark.parametrize("database", ["default", "replica"])
def test_use_is_written_down_after_the_transaction_of_the_request(keys, settings, database):
    settings.DATABASE_ROUTERS = [router := KeysElsewhere(database)]
    with transaction.atomic(using=database):
        record_use(keys.instance, NOON, keys.api_secret)
        assert keys.instance.last_used_at is None
        router.alias = "missing"  # by then, it may read what another request has set
    router.alias = database
    assert keys.instance.last_used_at == NOON
    assert ApiKey.objects.get().last_used_at == NOON


@contextmanager
def locked_keys():
    """Another connection holds the rows (on SQLite: the database, for writing)."""
    begin = "BEGIN IMMEDIATE" if connection.vendor == "sqlite" else "BEGIN"
    lock = "" if connection.vendor == "sqlite" else " FOR UPDATE"
    with closing(connection.copy()) as other, other.cursor() as cursor:
        cursor.execute(begin)
        cursor.execute(f"SELECT 1 FROM {ApiKey._meta.db_table}{lock}")
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


def test_use_waits_for_a_lock_only_briefly_and_once(keys):
    if connection.vendor == "mysql" and not connection.mysql_is_mariadb:
        leave_out("Locked keys", "MySQL can't limit how long one statement waits for a row")
    waited = []
    with locked_keys():
        for _ in range(2):
            began = time.monotonic()
            record_use(keys.instance, NOON, keys.api_secret)
            waited.append(time.monotonic() - began)
    assert ApiKey.objects.get().last_used_at is None
    assert waited[0] < 4
    assert waited[1] < waited[0] / 2

    last_used.reset()
    record_use(keys.instance, NOON, keys.api_secret)
    assert ApiKey.objects.get().last_used_at == NOON


@pytest.mark.parametrize(
    ("waited", "later", "is_written"),
    [
        (LOCK_SECONDS * 0.4, 0, True),
        (LOCK_SECONDS / 2, 4.9, False),
        (LOCK_SECONDS / 2, 5, True),
    ],
)
def test_after_a_long_wait_no_use_is_written_down_for_five_seconds(
    keys, monkeypatch, waited, later, is_written
):
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def wait(execute, sql, *rest):
        nonlocal now
        if sql.startswith("UPDATE"):
            now += waited
            raise OperationalError("the row is locked")
        return execute(sql, *rest)

    with connection.execute_wrapper(wait):
        record_use(keys.instance, NOON, keys.api_secret)
    now += later
    record_use(keys.instance, NOON, keys.api_secret)
    assert (ApiKey.objects.get().last_used_at == NOON) is is_written


def test_use_is_written_down_right_after_the_machine_has_started(keys, monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    record_use(keys.instance, NOON, keys.api_secret)
    assert ApiKey.objects.get().last_used_at == NOON


def refuse_updates(error):
    def refuse(execute, sql, *rest):
        assert sql.startswith("UPDATE")
        raise error("the disk is full")

    return refuse


def break_updates(execute, sql, params, many, context):
    if sql.startswith("UPDATE"):
        sql = "UPDATE no_such_table SET nothing = 1"
        params = ()
    return execute(sql, params, many, context)
