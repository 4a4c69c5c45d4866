"""The database ends one of two transactions that wait for each other, and it is repeated."""

import threading

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError, OperationalError, connection, connections, transaction

from frappe_tokens.keys import generate_keys
from frappe_tokens.keys.repeating import ATTEMPTS, repeated
from frappe_tokens.models import ApiKey

from .groups import leave_out
from .test_parallel import at_once

DEADLOCK = OperationalError(1213, "Deadlock found when trying to get lock")


def failing(times, error=DEADLOCK):
    """A write that the database ends so many times, and the list of its calls."""
    calls = []

    @repeated
    def write(value):
        calls.append(value)
        if len(calls) <= times:
            raise error
        return value

    return write, calls


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("times", [0, 1, ATTEMPTS - 1])
def test_call_is_repeated_after_a_deadlock(times):
    write, calls = failing(times)
    assert write("a") == "a"
    assert calls == ["a"] * (times + 1)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("error", "times"),
    [
        (DEADLOCK, ATTEMPTS),
        (OperationalError(2006, "Server has gone away"), 1),
        (IntegrityError(1062, "Duplicate entry"), 1),
    ],
    ids=["deadlock", "lost connection", "duplicate"],
)
def test_call_is_not_repeated_for_ever_nor_after_other_errors(error, times):
    write, calls = failing(ATTEMPTS, error)
    with pytest.raises(type(error)):
        write("a")
    assert len(calls) == times


@pytest.mark.django_db(transaction=True)
def test_call_within_a_transaction_is_not_repeated():
    write, calls = failing(1)
    with pytest.raises(OperationalError), transaction.atomic():
        write("a")
    assert len(calls) == 1


@pytest.mark.parallel
@pytest.mark.django_db(transaction=True)
def test_both_of_two_calls_in_a_real_deadlock_succeed(make_user):
    if connection.vendor == "sqlite":
        leave_out("database server", "SQLite lets one write at a time", in_ci_too=True)
    users = [make_user(name).pk for name in ("ada", "grace")]
    both_hold_one, other_is_done = threading.Barrier(2), threading.Event()
    attempts = []

    def lock(pk):
        get_user_model()._default_manager.select_for_update().get(pk=pk)

    @repeated
    @transaction.atomic
    def lock_both(first, second):
        attempts.append(first)
        if attempts.count(first) > 1:
            # Otherwise, it may take the lock again before the other one gets it.
            assert other_is_done.wait(10)
        lock(first)
        if attempts.count(first) == 1:
            both_hold_one.wait(10)
        lock(second)
        transaction.on_commit(other_is_done.set)
        return first

    locked, errors = at_once(lambda: lock_both(*users), lambda: lock_both(*users[::-1]))

    assert errors == []
    assert locked == users
    assert len(attempts) == 3


@pytest.mark.parallel
@pytest.mark.django_db(transaction=True)
def test_calls_for_different_users_with_repeatable_read(make_user, monkeypatch):
    if connection.vendor != "mysql":
        leave_out("database server", "only MySQL locks gaps between rows", in_ci_too=True)
    options = connections.settings["default"]["OPTIONS"]
    monkeypatch.setitem(options, "isolation_level", "repeatable read")
    users = [make_user(f"user{number}") for number in range(8)]

    def generate(user, name):
        return lambda: generate_keys(user, name=name)

    for name in map(str, range(5)):
        _, errors = at_once(*[generate(user, name) for user in users])
        assert errors == []

    assert ApiKey.objects.count() == 40
