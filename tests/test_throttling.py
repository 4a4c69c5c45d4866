"""A rate for each API key."""

import logging
import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
import time_machine
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from django.urls import path
from rest_framework.authentication import SessionAuthentication
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from frappe_tokens.authentication import TokenAuthentication
from frappe_tokens.keys import change_key, generate_keys
from frappe_tokens.models import ApiKey
from frappe_tokens.throttling import ApiKeyRateThrottle

from .client import IN_A_MINUTE, client_of
from .sources.models import Meter, Robot

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class Throttled(APIView):
    authentication_classes = [TokenAuthentication, SessionAuthentication]
    permission_classes = []
    throttle_classes = [ApiKeyRateThrottle]

    def get(self, request):
        return Response()


class Burst(ApiKeyRateThrottle):
    scope = "burst"


class TwiceThrottled(Throttled):
    throttle_classes = [ApiKeyRateThrottle, Burst]


urlpatterns = [path("", Throttled.as_view()), path("twice", TwiceThrottled.as_view())]


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(IN_A_MINUTE, tick=False) as clock:
        yield clock


@pytest.fixture(autouse=True)
def nothing_was_counted(settings):
    settings.CACHES = {"default": local_memory()}


class Unending(LocMemCache):
    """A cache whose entries do not end."""

    def add(self, key, value, timeout=None, version=None):
        return super().add(key, value, None, version)


def local_memory(backend="django.core.cache.backends.locmem.LocMemCache"):
    """A cache that goes by the tests' clock, and is this test's own."""
    return {"BACKEND": backend, "LOCATION": secrets.token_hex(8)}


@pytest.fixture
def limited(user):
    """A key that may make two requests a minute."""
    return generate_keys(user, rate_limit="2/minute")


@pytest.fixture
def default_rate(settings):
    def set_rate(rate):
        settings.REST_FRAMEWORK = {"DEFAULT_THROTTLE_RATES": {"api_key": rate}}

    return set_rate


def ask(keys, path="/"):
    return client_of(keys).get(path)


def statuses(keys, times):
    return [ask(keys).status_code for _ in range(times)]


def allows(key, throttle=ApiKeyRateThrottle):
    request = APIRequestFactory().get("/")
    force_authenticate(request, token=key)
    view = APIView()
    return throttle().allow_request(view.initialize_request(request), view)


# The rate


def test_own_rate_of_a_key_comes_before_the_default(limited, user, default_rate):
    default_rate("3/hour")
    assert statuses(limited, 3) == [200, 200, 429]
    assert statuses(generate_keys(user, name="plain"), 4) == [200, 200, 200, 429]
    assert statuses(generate_keys(user, name="more", rate_limit="4/hour"), 5) == [200] * 4 + [429]


def test_without_any_rate_there_is_no_limit(settings, keys):
    for framework in ({}, {"DEFAULT_THROTTLE_RATES": {"user": "1/day"}}):
        settings.REST_FRAMEWORK = framework
        assert statuses(keys, 5) == [200] * 5


def test_new_rate_limit_applies_at_once(limited):
    assert statuses(limited, 3) == [200, 200, 429]
    change_key(limited.instance, rate_limit="4/minute")
    assert statuses(limited, 3) == [200, 200, 429]
    change_key(limited.instance, rate_limit="3/minute")
    assert statuses(limited, 1) == [429]
    change_key(limited.instance, rate_limit="1/hour")
    assert statuses(limited, 2) == [200, 429]
    change_key(limited.instance, rate_limit="")
    assert statuses(limited, 5) == [200] * 5


def test_rate_of_zero_allows_nothing_and_has_no_end(user, keys, default_rate):
    response = ask(generate_keys(user, name="none", rate_limit="0/minute"))

    assert (response.status_code, "Retry-After" in response) == (429, False)
    assert rates_in(response) == {
        "RateLimit-Policy": '"api_key";q=0;w=60',
        "RateLimit": '"api_key";r=0',
        "X-RateLimit-Limit": "0",
        "X-RateLimit-Remaining": "0",
    }
    default_rate("0/day")
    assert statuses(keys, 2) == [429, 429]


def test_invalid_rate_allows_nothing_and_is_logged(keys, caplog):
    ApiKey.objects.update(rate_limit="often")
    assert statuses(keys, 1) == [429]
    (record,) = (record for record in caplog.records if record.name == "frappe_tokens.throttling")
    assert record.levelno == logging.ERROR
    assert keys.api_key in record.getMessage()
    assert keys.api_secret not in record.getMessage()


def test_error_names_an_invalid_default_rate(keys, default_rate):
    default_rate("ten a minute")
    with pytest.raises(ImproperlyConfigured, match=r"'api_key'.*for example 100/minute"):
        ask(keys)


# The period


def test_period_starts_with_the_first_request_and_ends_after_retry_after(limited, clock):
    assert statuses(limited, 1) == [200]
    clock.shift(timedelta(seconds=40))  # another minute of the clock
    assert statuses(limited, 1) == [200]
    response = ask(limited)
    assert response.status_code == 429
    assert response["Retry-After"] == "20"
    clock.shift(timedelta(seconds=18.5))
    assert ask(limited)["Retry-After"] == "2"  # rounded up
    clock.shift(timedelta(seconds=1.5))
    assert statuses(limited, 3) == [200, 200, 429]


def test_retry_after_is_positive_when_the_cache_keeps_an_entry_too_long(user, settings, clock):
    settings.CACHES = {"default": local_memory(f"{__name__}.Unending")}
    keys = generate_keys(user, rate_limit="1/second")
    assert statuses(keys, 1) == [200]
    clock.shift(timedelta(seconds=5))
    assert ask(keys)["Retry-After"] == "1"


@pytest.mark.parametrize("step", [-86_400, -59, -2, 1, 30, 86_400])
def test_no_client_waits_longer_than_one_period_when_the_clock_is_set(limited, clock, step):
    assert statuses(limited, 3) == [200, 200, 429]

    clock.shift(timedelta(seconds=step))
    waits = []
    while (response := ask(limited)).status_code == 429:
        waits.append(int(response["Retry-After"]))
        clock.shift(timedelta(seconds=waits[-1]))

    assert sum(waits) <= 60 + 1  # the second that clocks of two machines may differ by
    assert statuses(limited, 2) == [200, 429]


def test_small_difference_between_clocks_starts_no_second_period(limited, clock):
    assert statuses(limited, 1) == [200]
    clock.shift(timedelta(seconds=-0.5))
    assert statuses(limited, 2) == [200, 429]


# Headers


def rates_in(response):
    names = ("RateLimit-Policy", "RateLimit", *(f"X-RateLimit-{n}" for n in NUMBERS))
    return {name: response[name] for name in names if name in response}


NUMBERS = ("Limit", "Remaining", "Reset")
END = str(int(IN_A_MINUTE.timestamp()) + 60)


def test_responses_say_what_is_left(limited, clock):
    first = rates_in(ask(limited))
    clock.shift(timedelta(seconds=20))
    second, refused = ask(limited), ask(limited)

    assert first == {
        "RateLimit-Policy": '"api_key";q=2;w=60',
        "RateLimit": '"api_key";r=1;t=60',
        "X-RateLimit-Limit": "2",
        "X-RateLimit-Remaining": "1",
        "X-RateLimit-Reset": END,
    }
    assert (second["RateLimit"], second["X-RateLimit-Reset"]) == ('"api_key";r=0;t=40', END)
    assert (refused.status_code, refused["Retry-After"]) == (429, "40")
    assert rates_in(refused) == rates_in(second)


@pytest.mark.parametrize(
    ("rate", "items", "closest"),
    [
        ("9/hour", ('"api_key";q=9;w=3600', '"api_key";r=8;t=3600'), ("3", "2")),
        ("2/hour", ('"api_key";q=2;w=3600', '"api_key";r=1;t=3600'), ("2", "1")),
    ],
)
def test_each_throttle_has_its_item_and_the_closest_limit_counts(
    keys, settings, rate, items, closest
):
    settings.REST_FRAMEWORK = {"DEFAULT_THROTTLE_RATES": {"api_key": rate, "burst": "3/minute"}}

    rates = rates_in(ask(keys, "/twice"))

    assert rates["RateLimit-Policy"] == f'{items[0]}, "burst";q=3;w=60'
    assert rates["RateLimit"] == f'{items[1]}, "burst";r=2;t=60'
    assert (rates["X-RateLimit-Limit"], rates["X-RateLimit-Remaining"]) == closest
    if closest == ("3", "2"):
        assert rates["X-RateLimit-Reset"] == END


# What is counted


def test_requests_without_a_key_are_not_throttled(user, default_rate):
    default_rate("1/day")
    client = Client()
    assert [client.get("/").status_code for _ in range(2)] == [200] * 2
    assert rates_in(client.get("/")) == {}
    client.force_login(user)
    assert [client.get("/").status_code for _ in range(2)] == [200] * 2
    assert [allows("a token of another package") for _ in range(2)] == [True] * 2


def test_keys_of_a_table_are_counted_together_and_subclasses_separately(user):
    fields = {"pk": 1, "user": user, "rate_limit": "1/minute"}
    key, robot, meter = ApiKey(**fields), Robot(**fields), Meter(**fields)
    burst = type("Burst", (ApiKeyRateThrottle,), {"scope": "burst", "rate": "5/second"})

    assert allows(key)
    assert allows(robot)
    assert not allows(meter)
    assert allows(key, burst)
    assert not allows(key, burst)  # its own rate comes before the subclass's


def test_parallel_requests_are_all_counted(user):
    key = ApiKey(pk=1, user=user, rate_limit="10/minute")
    together = Barrier(8)

    def five(_):
        together.wait()
        return sum(allows(key) for _ in range(5))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(five, range(8))) == 10


# The cache


def test_counts_in_the_cache_that_is_set_for_the_whole_period(user, settings, clock, tmp_path):
    backend = "django.core.cache.backends.filebased.FileBasedCache"  # has no atomic operation
    in_files = {"BACKEND": backend, "LOCATION": str(tmp_path)}
    settings.CACHES = {"default": local_memory(), "shared": in_files}
    keys = generate_keys(user, rate_limit="2/hour")
    assert statuses(keys, 3) == [200, 200, 429]

    settings.FRAPPE_TOKENS = {"CACHE": "shared"}
    assert statuses(keys, 2) == [200, 200]
    clock.shift(timedelta(minutes=59))
    assert statuses(keys, 1) == [429]


@pytest.mark.parametrize(
    ("backend", "reported"),
    [
        ("django.core.cache.backends.dummy.DummyCache", []),
        ("tests.caches.FullCache", []),
        ("tests.caches.DeadCache", ["The cache doesn't answer. No rates are limited."]),
    ],
)
def test_cache_that_keeps_nothing_or_is_away_limits_nothing(
    limited, settings, caplog, backend, reported
):
    settings.CACHES = {"default": local_memory(backend)}

    assert statuses(limited, 5) == [200] * 5
    assert (rates_in(ask(limited)) == {}) is bool(reported)

    records = (record for record in caplog.records if record.name == "frappe_tokens.throttling")
    assert [record.getMessage() for record in records] == reported


# Subclasses


def test_project_may_set_rates_and_the_cache_on_classes(user, settings, monkeypatch):
    monkeypatch.setattr(SimpleRateThrottle, "THROTTLE_RATES", {"api_key": "2/minute"})
    assert ApiKeyRateThrottle().get_rate() == "2/minute"
    settings.CACHES = {"default": local_memory(), "other": local_memory()}

    class Elsewhere(ApiKeyRateThrottle):
        THROTTLE_RATES = {"api_key": "1/minute"}
        cache = caches["other"]

    key = ApiKey(pk=1, user=user)
    assert [allows(key, Elsewhere) for _ in range(2)] == [True, False]
    caches["other"].clear()
    assert allows(key, Elsewhere)
