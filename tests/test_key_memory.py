from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.core.cache.backends.locmem import LocMemCache
from django.test import Client

from frappe_tokens import key_memory, lookup
from frappe_tokens.keys import GeneratedKeys, generate_keys
from frappe_tokens.models import ApiKey

from .conftest import token_header
from .instances import described

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime.fromisoformat("2030-02-28T12:00:00+00:00")
WHO = "/api/method/frappe.auth.get_logged_user"


@pytest.fixture(autouse=True)
def keys_are_cached(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.FRAPPE_TOKENS = {"CACHE": "default"}
    monkeypatch.setattr(key_memory, "_entries", {})
    cache.clear()
    yield
    cache.clear()


class Recording(LocMemCache):
    """Notes what is asked for."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.asked: list[list[str]] = []

    def get_many(self, keys: Any, version: Any = None) -> Any:
        found = super().get_many(keys, version)
        self.asked[-len(keys) :] = [list(keys)]
        return found

    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        self.asked.append([key])
        return super().get(key, default, version)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[str]]]:
    """What the cache was asked for since the last call, a list for each round trip."""
    recording = Recording("recording", {})
    recording.clear()
    monkeypatch.setattr("frappe_tokens.key_cache.caches", {"default": recording})

    def drain() -> list[list[str]]:
        asked, recording.asked = recording.asked, []
        return asked

    return drain


def ask(keys: GeneratedKeys) -> Any:
    return Client().get(WHO, headers={"authorization": token_header(keys)})


def find(keys: GeneratedKeys) -> lookup.Found:
    found = lookup.find(type(keys.instance), keys.api_key)
    assert found is not None
    return found


def test_entry_that_was_met_is_not_asked_for_again(
    keys: GeneratedKeys, asked: Callable[[], list[list[str]]]
) -> None:
    ask(keys)
    asked()
    ask(keys)
    (both,) = asked()
    assert len(both) == 2
    ask(keys)
    assert asked() == [both[1:]]


def test_what_a_request_does_to_its_key_is_not_seen_by_the_next(user: Any) -> None:
    keys = generate_keys(user, scopes=["todos"])
    ask(keys)
    for found in (find(keys), find(keys), find(keys)):
        assert described(found.key) == described(ApiKey.objects.select_related("user").get())
        found.key.scopes.append("everything")
        found.key.allowed_ips.append("10.0.0.0/8")
        found.key.user.username = "somebody else"


def test_use_that_another_process_wrote_down_is_not_written_again(
    keys: GeneratedKeys, monkeypatch: pytest.MonkeyPatch, statements: Any
) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        ask(keys)
        clock.shift(timedelta(seconds=30))
        # Read anew, so that the entry outlives the minute in which no use is written.
        cache.clear()
        ask(keys)
        ask(keys)
        clock.shift(timedelta(seconds=30))
        with monkeypatch.context() as another_process, statements() as theirs:
            another_process.setattr(key_memory, "_entries", {})
            ask(keys)
        with statements() as ours:
            ask(keys)
    assert (theirs, ours) == (["UPDATE"], [])


def test_no_more_than_the_newest_are_remembered(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_memory, "SIZE", 2)
    made = [generate_keys(user, name=name) for name in ("first", "second", "third")]
    for _ in range(2):
        for keys in made:
            ask(keys)
    remembered = [entry.place.entry.split(":")[-1] for entry in key_memory._entries.values()]
    assert remembered == [keys.api_key for keys in made[1:]]
