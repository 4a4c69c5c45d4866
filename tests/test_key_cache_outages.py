"""Cached keys when the cache, or a clock, has been unreliable."""

import copy
import math
from contextlib import contextmanager, nullcontext
from datetime import timedelta

import pytest
import time_machine
from django.core.cache import caches
from django.db import transaction

from frappe_tokens import lookup
from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.lookup import cache as key_cache
from frappe_tokens.models import ApiKey

from .caches import SwitchableCache
from .client import NOON

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "replica"])

STATE = (key_cache._memory, key_cache._in_touch, key_cache._heard_at, key_cache._owed)


@pytest.fixture(autouse=True)
def cache(cached_keys, settings, monkeypatch):
    settings.CACHES = {
        "default": {"BACKEND": "tests.caches.SwitchableCache", "LOCATION": "outages"}
    }
    monkeypatch.setattr(key_cache.time, "monotonic", lambda: SwitchableCache.now)
    caches["default"].clear()
    with time_machine.travel(NOON, tick=False):
        yield caches["default"]


class Process:
    """What one more process knows of the cache."""

    def __init__(self):
        self.known = [{} for _ in STATE]

    @contextmanager
    def run(self):
        ours = [copy.copy(known) for known in STATE]
        self._become(self.known)
        yield
        self.known = [copy.copy(known) for known in STATE]
        self._become(ours)

    def _become(self, other):
        for known, wanted in zip(STATE, other, strict=True):
            known.clear()
            known.update(wanted)


def find(keys):
    """What a request finds, which caches it then."""
    found = lookup.find(ApiKey, keys.api_key)
    if not found.entry:
        found.store(math.inf)
    return found


def is_revoked(keys):
    return find(keys).key.is_revoked


def later(**after):
    return time_machine.travel(NOON + timedelta(**(after or {"seconds": 1})), tick=False)


def wait(seconds):
    SwitchableCache.now += seconds


@pytest.fixture
def other(keys):
    """Another process, in touch with the cache before and after ``keys`` were cached."""
    other = Process()
    with other.run():
        find(keys)
    assert find(keys).entry
    with other.run():
        assert find(keys).entry
    return other


def revoke_while_away(cache, keys):
    cache.away = True
    revoke(keys.instance)
    cache.away = False


@pytest.mark.parametrize("is_new", [False, True], ids=["this process", "a new process"])
def test_key_that_was_revoked_while_the_cache_was_away_stays_revoked(keys, cache, is_new):
    find(keys)
    assert find(keys).entry

    revoke_while_away(cache, keys)

    with later() if is_new else nullcontext(), Process().run() if is_new else nullcontext():
        assert is_revoked(keys)


def test_revocation_reaches_all_processes_once_the_cache_is_back(keys, cache, other, caplog):
    revoke_while_away(cache, keys)
    assert "The cache can't be notified of a change." in caplog.text
    assert keys.api_key not in caplog.text

    find(keys)

    with other.run():
        assert is_revoked(keys)


def test_mark_that_the_cache_did_not_take_is_made_up_for(keys, cache, other):
    cache.takes_marks = False
    revoke(keys.instance)
    with later():
        assert is_revoked(keys)
    cache.takes_marks = True

    find(keys)

    with other.run():
        assert is_revoked(keys)


def test_all_keys_of_the_model_are_read_again_after_a_lost_mark(keys, user, cache):
    other = generate_keys(user, name="other")
    find(other)
    assert find(other).entry

    revoke_while_away(cache, keys)

    assert not find(other).entry


def save_key(keys, using):
    keys.instance.save(using=using)


def update_keys(keys, using):
    ApiKey.objects.using(using).update(rate_limit="1/s")


def save_user(keys, using):
    keys.instance.user.save(using=using)


@pytest.mark.parametrize("change", [save_key, update_keys, save_user])
@pytest.mark.parametrize("database", ["default", "replica"])
def test_commit_ends_an_entry_again_if_the_cache_has_lost_the_first_mark(
    keys, cache, change, database
):
    find(keys)
    older = cache.saved()
    with transaction.atomic(using=database):
        change(keys, database)
        cache.restore(older)
    assert not find(keys).entry


@pytest.mark.parametrize("database", ["default", "replica"])
@pytest.mark.parametrize("is_at_first", [True, False])
def test_commit_of_a_users_change_ends_what_was_theirs_before_or_is_now(
    keys, make_user, cache, database, is_at_first
):
    owners = [keys.instance.user, make_user("grace")]
    first, last = owners if is_at_first else owners[::-1]
    rows = ApiKey._base_manager.using(database).filter(pk=keys.instance.pk)
    rows.update(user=first)
    find(keys)
    older = cache.saved()
    with transaction.atomic(using=database):
        save_user(keys, database)
        rows.update(user=last)
        cache.restore(older)
    assert not find(keys).entry


def test_request_takes_one_round_trip_and_no_entry_that_is_remembered(keys, cache):
    find(keys)
    with Process().run():
        cache.asked = ()
        for _ in range(2):
            assert find(keys).entry
    assert cache.asked == (3, 2)


def see_an_error(cache, keys):
    cache.away = True
    find(keys)
    cache.away = False


def wait_for_a_slow_answer(cache, keys):
    cache.seconds = 2
    find(keys)
    cache.seconds = 0


def hear_nothing_for_long(cache, keys):
    wait(11)


def fail_to_cache_another_key(cache, keys):
    another = ApiKey.objects.create(user=keys.instance.user, name="another")
    found = lookup.find(ApiKey, another.api_key)
    cache.away = True
    found.store(math.inf)
    cache.away = False


def restore_older_data(cache, keys):
    """After a fail-over to a replica that lags behind, or from a snapshot."""
    older = cache.saved()
    revoke(keys.instance)
    cache.restore(older)


NOTICES = [
    see_an_error,
    wait_for_a_slow_answer,
    hear_nothing_for_long,
    fail_to_cache_another_key,
]


@pytest.mark.parametrize("happens", [revoke_while_away, restore_older_data])
@pytest.mark.parametrize("notice", NOTICES)
def test_process_that_was_out_of_touch_does_not_trust_what_it_finds(
    keys, cache, other, happens, notice
):
    happens(cache, keys)
    with later(), other.run():
        notice(cache, keys)
        assert is_revoked(keys)


def test_short_silence_and_short_wait_are_nothing_unusual(keys, cache, other):
    with later(), other.run():
        wait(10)
        cache.seconds = 1
        assert find(keys).entry


@pytest.mark.parametrize(("seconds", "is_trusted"), [(10, True), (11, False)])
def test_clock_of_another_machine_may_be_ten_seconds_behind(keys, cache, seconds, is_trusted):
    find(keys)
    with later(seconds=-seconds), Process().run():
        assert (find(keys).entry is not None) is is_trusted


def test_local_memory_is_never_out_of_touch(keys, settings):
    backend = "django.core.cache.backends.locmem.LocMemCache"
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": "never away"}}
    find(keys)
    hear_nothing_for_long(caches["default"], keys)
    with later():
        assert find(keys).entry
        revoke(keys.instance)
        assert is_revoked(keys)


def test_keys_are_cached_again_after_an_outage(keys, cache, other):
    cache.away = True
    assert not find(keys).entry
    cache.away = False
    with later(minutes=2):
        assert not find(keys).entry
        assert find(keys).entry


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(hours=-1)])
def test_clock_that_is_set_ends_what_is_cached_and_no_more(keys, user, step):
    find(keys)
    ApiKey._base_manager.update(read_only=True)
    with time_machine.travel(NOON + step, tick=False):
        assert find(keys).key.read_only
        # New keys are cached.
        new = generate_keys(user, name="new")
        find(new)
        assert find(new).entry


def test_cache_that_fails_before_the_key_is_cached_fails_no_request(keys, cache, caplog):
    found = lookup.find(ApiKey, keys.api_key)
    cache.away = True

    found.store(math.inf)

    assert "The cache doesn't answer." in caplog.text


def test_process_forgets_its_entries_where_there_are_too_many(keys, user, monkeypatch):
    monkeypatch.setattr(key_cache, "MEMORY_SIZE", 1)
    other = generate_keys(user, name="other")
    for _ in range(2):
        for made in (keys, other):
            find(made)

    assert find(keys).entry
    assert find(other).entry
    assert len(key_cache._memory) == 1
