"""The failure limit."""

import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core.cache import caches

from frappe_tokens.exceptions import Refused
from frappe_tokens.keys import GeneratedKeys, generate_keys
from frappe_tokens.models import ApiKey
from frappe_tokens.rates import parse_rate
from frappe_tokens.verification import increment, limiter

from .client import IN_A_MINUTE, WHO, client_of
from .client import with_wrong_secret as wrong

pytestmark = pytest.mark.django_db

HERE, THERE = "192.0.2.1", "198.51.100.7"


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(IN_A_MINUTE, tick=False) as clock:
        yield clock


def ask(keys, address=HERE, **headers):
    return client_of(keys, REMOTE_ADDR=address).get(WHO, headers=headers)


def code(*arguments, **headers):
    response = ask(*arguments, **headers)
    return "ok" if response.status_code == 200 else response.json()["code"]


def limit_to(settings, limit, **others):
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": limit, **others}


def test_failures_beyond_the_limit_are_refused_until_the_window_ends(keys, clock, settings):
    limit_to(settings, "5/minute")

    answers = [ask(wrong(keys), x_forwarded_for=f"203.0.113.{n}") for n in range(10)]

    assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 5
    assert {answer["Retry-After"] for answer in answers[5:]} == {"40"}
    assert answers[5].json()["exc_type"] == "TooManyRequestsError"
    assert code(wrong(keys), THERE) == "invalid_credentials"
    clock.shift(timedelta(seconds=39))
    assert ask(wrong(keys))["Retry-After"] == "1"
    clock.shift(timedelta(seconds=1))
    assert code(wrong(keys)) == "invalid_credentials"


def test_token_that_failed_too_often_takes_no_query_and_is_not_kept(
    keys, settings, clock, statements
):
    limit_to(settings, "2/minute")
    broken = wrong(keys)
    assert [code(broken) for _ in range(2)] == ["invalid_credentials"] * 2

    with statements() as verbs:
        assert {code(broken) for _ in range(3)} == {"too_many_failures"}
        clock.shift(timedelta(seconds=39, milliseconds=900))  # almost the end of the window
        assert code(broken) == "too_many_failures"

    assert verbs == []
    kept = repr(vars(limiter))
    assert broken.api_secret not in kept
    assert hashlib.sha256(broken.api_secret.encode()).hexdigest() not in kept
    assert code(broken, THERE) == "invalid_credentials"


def test_another_limit_applies_at_once(keys, settings):
    broken = wrong(keys)
    limit_to(settings, "1/day")
    assert [code(broken) for _ in range(2)] == ["invalid_credentials", "too_many_failures"]

    for limit in (None, "100/minute"):
        limit_to(settings, limit)
        assert {code(broken) for _ in range(3)} == {"invalid_credentials"}


def test_token_that_failed_at_one_tenant_is_not_refused_at_another(keys, settings, monkeypatch):
    """As with ``KEY_FUNCTION`` and django-tenants, where a key belongs to one of them."""
    tenant = partial(monkeypatch.setattr, caches["default"], "key_func")
    limit_to(settings, "2/minute")
    broken = wrong(keys)

    tenant(lambda key, prefix, version: f"one:{key}")
    assert [code(broken) for _ in range(3)][-1] == "too_many_failures"

    tenant(lambda key, prefix, version: f"other:{key}")
    assert code(broken) == "invalid_credentials"


# A correct credential is never refused for failures of others


def test_wrong_secrets_do_not_lock_out_the_right_one_which_resets_nothing(keys, user, settings):
    limit_to(settings, "2/minute")

    for _ in range(4):
        ask(wrong(keys))
        assert code(keys) == "ok"

    assert code(wrong(keys)) == "too_many_failures"
    assert code(wrong(generate_keys(user, name="other"))) == "invalid_credentials"


def test_made_up_keys_and_sources_do_not_lock_out_the_right_ones(keys, settings):
    """As behind a proxy whose address all clients share, or in an office."""
    limit_to(settings, "1/minute")

    for number in range(5):
        made_up = GeneratedKeys(f"ftk_{number:016}", keys.api_secret, keys.instance)
        assert code(made_up) == "invalid_credentials"
    codes = [code(keys, frappe_authorization_source="Nobody") for _ in range(2)]

    assert codes == ["invalid_credentials", "too_many_failures"]
    assert code(keys) == "ok"


# What is counted together


def test_addresses_behind_trusted_proxies_are_told_apart(keys, settings):
    limit_to(settings, "1/minute", NUM_PROXIES=1)
    broken = wrong(keys)
    assert code(broken, x_forwarded_for="203.0.113.1") == "invalid_credentials"

    for spoofed in ("", "203.0.113.2, ", "198.51.100.1, 192.0.2.9, "):
        assert code(broken, x_forwarded_for=f"{spoofed}203.0.113.1") == "too_many_failures"
    assert code(broken, x_forwarded_for="203.0.113.2") == "invalid_credentials"


@pytest.mark.parametrize(
    ("failed", "refused", "open_"),
    [
        ("2001:db8::1", "2001:db8::ffff:0:0:1", "2001:db8:0:1::1"),
        ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"),
        # As behind a Unix socket: all clients would be counted together.
        ("", None, ""),
    ],
    ids=["IPv6 network", "IPv4-mapped", "no address"],
)
def test_addresses_of_one_client_are_counted_together(keys, settings, failed, refused, open_):
    limit_to(settings, "1/minute")
    broken = wrong(keys)
    ask(broken, failed)
    assert refused is None or code(broken, refused) == "too_many_failures"
    assert code(broken, open_) == "invalid_credentials"


@pytest.mark.parametrize(
    ("model", "change", "reason"),
    [
        (ApiKey, {"expires_at": IN_A_MINUTE}, "key_expired"),
        (ApiKey, {"revoked_at": IN_A_MINUTE, "live": None}, "key_revoked"),
        (User, {"is_active": False}, "user_inactive"),
    ],
)
def test_key_that_has_ended_counts(keys, settings, model, change, reason):
    limit_to(settings, "1/minute")
    model.objects.update(**change)

    assert [code(keys), code(keys)] == [reason, "too_many_failures"]


def test_what_is_malformed_or_narrowed_does_not_count(user, settings):
    limit_to(settings, "1/minute")
    keys = generate_keys(user, allowed_ips=[THERE])
    for _ in range(3):
        assert code(keys) == "ip_not_allowed"
        assert code(GeneratedKeys(keys.api_key, keys.api_secret[:-1], keys.instance)) == (
            "malformed_credentials"
        )
    assert code(keys, THERE) == "ok"


def test_other_processes_find_out_at_their_next_failure(keys, settings, statements, monkeypatch):
    limit_to(settings, "2/minute")
    broken = wrong(keys)
    assert [code(broken) for _ in range(3)][2] == "too_many_failures"
    monkeypatch.setattr(limiter, "_refused", set())
    with statements() as verbs:
        assert [code(broken) for _ in range(3)] == ["too_many_failures"] * 3
    assert verbs == ["SELECT"]


def test_only_failures_use_the_cache_and_it_may_be_away(keys, settings, caplog):
    settings.CACHES = {"default": {"BACKEND": "tests.caches.DeadCache"}}
    limit_to(settings, "1/minute")

    assert code(keys) == "ok"
    assert "Failed attempts are not counted" not in caplog.text

    assert [code(wrong(keys)) for _ in range(3)] == ["invalid_credentials"] * 3
    (report,) = [entry for entry in caplog.records if entry.name == "frappe_tokens.limiter"]
    assert report.levelno == logging.ERROR
    assert "Failed attempts are not counted" in report.message
    assert keys.api_key not in caplog.text


def test_count_is_kept_where_keys_are_cached(keys, settings):
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
        "evicting": {"BACKEND": "tests.caches.FullCache"},
        "keys": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "keys"},
    }
    for cache, last in [(None, 401), ("evicting", 401), ("keys", 429)]:
        limit_to(settings, "2/minute", CACHE=cache)
        assert [ask(wrong(keys)).status_code for _ in range(3)] == [401, 401, last]
    caches["keys"].clear()


@pytest.mark.parametrize(
    ("backend", "renews"), [("locmem.LocMemCache", False), ("filebased.FileBasedCache", True)]
)
def test_count_lasts_as_long_as_it_is_asked_to(settings, tmp_path, clock, backend, renews):
    """A cache that can't increment atomically writes the number again, and so lasts longer."""
    backend = f"django.core.cache.backends.{backend}"
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": str(tmp_path), "TIMEOUT": 1}}
    cache = caches["default"]

    assert [increment(cache, "failures", number, 60) for number in (2, 3)] == [2, 5]
    clock.shift(timedelta(seconds=59))
    assert increment(cache, "failures", -1, 60) == 4
    clock.shift(timedelta(seconds=2))
    assert increment(cache, "failures", 1, 60) == (5 if renews else 1)
    clock.shift(timedelta(seconds=61))
    assert increment(cache, "failures", 1, 60) == 1
    # Only a positive number starts a count.
    assert [increment(cache, "none", number, 60) for number in (0, -1)] == [0, -1]
    assert cache.get("none") is None


def test_count_is_kept_for_as_long_as_its_window(settings):
    settings.CACHES = {"default": {"BACKEND": "tests.caches.WatchedCache"}}
    limit_to(settings, "5/minute")

    fail(HERE, 1)

    # One second more, because the clock of the cache's machine may be ahead.
    assert caches["default"].timeouts == [61]


def test_parallel_failures_are_all_counted():
    with ThreadPoolExecutor(8) as clients:
        refused = clients.map(fail, [HERE] * 15, [10] * 15)

    assert sum(map(sum, refused)) == 50


def is_refused(address, decide=limiter.check):
    try:
        decide(address, "ftk_key", "secret")
    except Refused:
        return True
    return False


def fail(address, times):
    return [is_refused(address, limiter.count) for _ in range(times)]


def test_process_remembers_a_limited_number_of_tokens(monkeypatch, clock):
    monkeypatch.setattr(limiter, "SIZE", 3)
    addresses = [f"192.0.2.{number}" for number in range(5)]

    for address in addresses:
        fail(address, 100)

    assert sum(map(is_refused, addresses)) == 3
    assert is_refused(addresses[-1])
    clock.shift(timedelta(seconds=40))
    fail(THERE, 100)
    assert is_refused(THERE)
    assert not is_refused(addresses[-1])  # of the window before


def test_tokens_of_a_window_that_has_ended_are_forgotten(clock):
    fail(HERE, 100)
    assert limiter.is_active()

    clock.shift(timedelta(seconds=40))

    assert not is_refused(THERE)
    assert not limiter.is_active()


@pytest.mark.parametrize("limit", ["1/minute", "1/day"])
@pytest.mark.parametrize("step", [-86_400, -30, 30, 86_400])
def test_no_client_waits_longer_than_one_period_when_the_clock_is_set(
    keys, settings, clock, limit, step
):
    limit_to(settings, limit)
    broken = wrong(keys)
    ask(broken)
    period = parse_rate(limit).seconds

    clock.shift(timedelta(seconds=step))
    answers = [ask(broken) for _ in range(3)]
    assert answers[-1].status_code == 429
    waits = []
    while (answer := ask(broken)).status_code == 429:
        waits.append(int(answer["Retry-After"]))
        clock.shift(timedelta(seconds=waits[-1]))

    assert max(waits) <= period
    assert len(waits) <= 2  # of the window after the step, and of the one before it
    assert code(keys) == "ok"
