"""No reader puts a row back into the cache that a writer has changed."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection, connections, transaction

from frappe_tokens import key_cache, lookup
from frappe_tokens.keys import GeneratedKeys, generate_keys, revoke
from frappe_tokens.models import ApiKey
from frappe_tokens.prepared import PreparedSelect, prepared_select

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "replica"])

# When a reader's step is taken, seen from the writer.
BEFORE, WRITTEN, COMMITTED, AFTER = range(4)

DECIDES = ["secret_digest", "previous_digest", "read_only", "revoked_at", "expires_at"]

ORDERS = list(itertools.combinations_with_replacement((BEFORE, WRITTEN, COMMITTED, AFTER), 3))


@pytest.fixture(autouse=True)
def keys_are_cached(settings: Any) -> Iterator[None]:
    settings.FRAPPE_TOKENS = {"CACHE": "default"}
    cache.clear()
    yield
    cache.clear()


class Reader:
    """A lookup in its three steps, by a connection of its own."""

    def __init__(self, api_key: str) -> None:
        self.api_key = api_key
        statement = prepared_select(ApiKey, connection)
        assert isinstance(statement, PreparedSelect)
        self.statement = statement
        self.steps = [self.look, self.read, self.put]

    def look(self) -> None:
        fingerprint = self.statement.fingerprint
        self.kept, self.place = key_cache.look(
            "default", self.statement.label, fingerprint, self.api_key
        )

    def read(self) -> None:
        self.key = self.statement.fetch(connections["replica"], self.api_key)

    def put(self) -> None:
        if self.kept is None and self.place is not None:
            key_cache.put(self.place, self.statement.keep(self.key))


def deactivate(keys: GeneratedKeys) -> None:
    keys.instance.user.is_active = False
    keys.instance.user.save()


def narrow(keys: GeneratedKeys) -> None:
    ApiKey.objects.update(read_only=True)


WRITES: list[Callable[[GeneratedKeys], Any]] = [
    lambda keys: revoke(keys.instance),
    lambda keys: generate_keys(keys.instance.user),
    deactivate,
    narrow,
]


@pytest.mark.parametrize("write", WRITES, ids=["revoke", "rotate", "deactivate", "update"])
@pytest.mark.parametrize("state", ["nothing", "stamp", "entry"])
def test_no_order_of_steps_leaves_the_old_row(
    keys: GeneratedKeys, write: Callable[[GeneratedKeys], Any], state: str
) -> None:
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
        if state == "entry":
            reader.read()
            reader.put()

        def steps_at(now: int, reader: Reader = reader, order: Any = order) -> None:
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
        assert found is not None
        stored = ApiKey._base_manager.select_related("user").get()
        seen, now = ([getattr(key, name) for name in DECIDES] for key in (found.key, stored))
        assert (seen, found.key.user.is_active) == (now, stored.user.is_active), order


@pytest.mark.parallel
def test_nobody_sees_an_older_row_than_was_committed_before(keys: GeneratedKeys) -> None:
    """Readers that read and fill as fast as they can, beside a writer that rotates."""
    user = keys.instance.user
    committed = [keys.instance.secret_digest]
    done = threading.Event()
    older, hits = itertools.count(), itertools.count()

    def read() -> None:
        try:
            while not done.is_set():
                before = committed[:-1]
                found = lookup.find(ApiKey, keys.api_key)
                assert found is not None
                next(older if found.key.secret_digest in before else itertools.count())
                next(hits if found.from_cache else itertools.count())
                found.keep()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as readers:
        reading = [readers.submit(read) for _ in range(4)]
        for _ in range(60):
            committed.append(generate_keys(user).instance.secret_digest)
        done.set()
    assert [reader.exception() for reader in reading] == [None] * 4
    assert next(older) == 0
    assert next(hits) > 0
