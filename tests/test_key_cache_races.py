"""No reader puts a row back into the cache that a writer has changed."""

import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connection, connections, transaction

from frappe_tokens import lookup
from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.lookup import cache as key_cache
from frappe_tokens.lookup.cache import Slot
from frappe_tokens.lookup.statement import statement_for
from frappe_tokens.models import ApiKey

from .groups import leave_out

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "replica"]),
    pytest.mark.usefixtures("cached_keys"),
]

# When a reader's step is taken, seen from the writer.
BEFORE, WRITTEN, COMMITTED, AFTER = range(4)


def others_change():
    """Another writer's changes: to one other key, and to any."""
    user = get_user_model()._default_manager.get_or_create(username="grace")[0]
    other = ApiKey.objects.get_or_create(user=user, name="another")[0]
    other.save()
    ApiKey.objects.filter(pk=other.pk).update(rate_limit="1/s")


DECIDES = ["secret_digest", "previous_digest", "read_only", "revoked_at", "expires_at"]

ORDERS = list(itertools.combinations_with_replacement((BEFORE, WRITTEN, COMMITTED, AFTER), 3))


class Reader:
    """A lookup in its three steps, by a connection of its own."""

    def __init__(self, api_key):
        self.statement = statement = statement_for(ApiKey, "default")
        assert statement is not None
        origin = f"default:{statement.fingerprint}"
        self.wanted = Slot("default", statement.label, api_key, origin, statement.factory)
        self.steps = [self.look, self.read, self.put]

    def look(self):
        self.entry, self.slot = key_cache.look(self.wanted)

    def read(self):
        self.row = self.statement.fetch(connections["replica"], self.wanted.api_key)

    def put(self):
        if self.entry is None and self.slot is not None and self.row is not None:
            key_cache.put(self.slot, self.statement.columns_to_cache(self.row), math.inf)


def deactivate(keys):
    keys.instance.user.is_active = False
    keys.instance.user.save()


WRITES = {
    "revoke": lambda keys: revoke(keys.instance),
    "rotate": lambda keys: generate_keys(keys.instance.user),
    "deactivate": deactivate,
    "update": lambda keys: ApiKey.objects.update(read_only=True),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("state", ["nothing", "entry", "remembered"])
def test_no_order_of_steps_leaves_the_old_row(keys, write, state):
    """Every order in which a reader's steps can fall between a writer's."""
    user = keys.instance.user
    for order in ORDERS:
        user.is_active = True
        user.save()
        ApiKey.objects.all().delete()
        cache.clear()
        fresh = generate_keys(user)
        reader = Reader(fresh.api_key)
        if state != "nothing":
            reader.look()
            reader.read()
            reader.put()
        if state == "remembered":
            reader.look()

        def steps_at(now, reader=reader, order=order):
            for step, moment in zip(reader.steps, order, strict=True):
                if moment == now:
                    step()

        steps_at(BEFORE)
        with transaction.atomic():
            transaction.on_commit(lambda: steps_at(COMMITTED))
            write(fresh)
            steps_at(WRITTEN)
        steps_at(AFTER)

        found = lookup.find(ApiKey, fresh.api_key)
        stored = ApiKey._base_manager.select_related("user").get()
        seen, now = ([getattr(key, name) for name in DECIDES] for key in (found.key, stored))
        assert (seen, found.key.user.is_active) == (now, stored.user.is_active), order


def elsewhere(call):
    """What ``call`` returns on a connection of its own."""

    def run():
        try:
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(run).result()


def needs_two_writers():
    if connection.vendor == "sqlite":
        leave_out("database server", "SQLite lets one write at a time", in_ci_too=True)


def is_read_only(keys):
    """What a request finds, which then puts it into the cache."""
    found = lookup.find(ApiKey, keys.api_key)
    found.store(math.inf)
    return found.key.read_only


@pytest.mark.parallel
def test_row_that_was_never_committed_is_not_kept(keys):
    needs_two_writers()
    with transaction.atomic():
        keys.instance.read_only = True
        keys.instance.save()
        elsewhere(others_change)
        assert is_read_only(keys)
        transaction.set_rollback(True)
    assert not is_read_only(keys)


@pytest.mark.parallel
@pytest.mark.parametrize("by_hand", [True, False])
def test_another_writer_does_not_open_what_is_closed(keys, by_hand):
    needs_two_writers()
    is_read_only(keys)

    def change():
        ApiKey.objects.filter(pk=keys.instance.pk).update(read_only=True)
        elsewhere(others_change)
        assert not elsewhere(lambda: is_read_only(keys))

    def fail():
        raise InterruptedError

    @transaction.atomic
    def change_and_fail():
        transaction.on_commit(fail)
        change()

    if by_hand:
        transaction.set_autocommit(False)
        try:
            change()
            transaction.commit()
        finally:
            transaction.set_autocommit(True)
    else:
        with pytest.raises(InterruptedError):
            change_and_fail()
    assert is_read_only(keys)
    assert is_read_only(keys)
