"""Rate limits of API keys, for DRF views."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, NamedTuple, cast

from django.core.cache import BaseCache, caches
from django.core.exceptions import ImproperlyConfigured
from rest_framework.settings import api_settings
from rest_framework.throttling import SimpleRateThrottle

from .base_models import AbstractApiKey
from .conf import conf
from .logs import RateLimitedLogger
from .rates import Rate, parse_rate
from .verification import increment

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)
_log_cache_error = RateLimitedLogger(logger, "The cache doesn't answer. No rates are limited.")

# How far ahead another machine's clock may be (s). If a period starts even later, this machine's
# clock was set back.
_CLOCK_DIFFERENCE = 1

# DRF reads both when it is imported. If they differ, a subclass or the project has set others.
_IMPORTED_RATES = SimpleRateThrottle.THROTTLE_RATES
_IMPORTED_CACHE = SimpleRateThrottle.cache


class Budget(NamedTuple):
    """How many requests a client may still send.

    Attributes:
        limit: how many are allowed in a period.
        period: its length (s).
        remaining: how many are left; None if the cache doesn't answer.
        reset: seconds until ``limit`` are left again; 0 if they are; None if unknown or never.
    """

    limit: int
    period: int
    remaining: int | None
    reset: int | None


class ApiKeyRateThrottle(SimpleRateThrottle):
    """Limits the rate of each API key, over all views that have this throttle.

    The rate is the key's own ``rate_limit``, else ``DEFAULT_THROTTLE_RATES["api_key"]``, else
    unlimited. ``0/minute`` allows nothing. An OAuth 2 access token has the default rate, shared by
    all tokens of its application for the same user. Requests with neither aren't throttled.

    A key's first request starts a period of the rate's length; the first one after it starts the
    next. The cache counts atomically, so parallel requests don't exceed the limit, unlike with
    DRF's lists of times. In return, a client may send up to twice the number around the end of a
    period. Refused requests don't count.

    The counts are in the cache ``FRAPPE_TOKENS["CACHE"]``, else in ``default``. A subclass may set
    another (``cache = caches["other"]``), a ``rate``, or a ``scope``, which has its own count. If
    the cache doesn't answer, requests are allowed.

    Responses, including refusals, have what is left in ``RateLimit-Policy`` and ``RateLimit``
    (draft-ietf-httpapi-ratelimit-headers-10), with one item for each of the view's throttles. The
    closest limit is also in ``X-RateLimit-Limit``, ``X-RateLimit-Remaining`` and
    ``X-RateLimit-Reset`` (in seconds since 1970).
    """

    scope = "api_key"
    num_requests: int  # of the default rate, set by DRF
    duration: int

    def get_rate(self) -> str | None:
        """Return the rate of keys without their own; None for no limit."""
        imported = self.THROTTLE_RATES is _IMPORTED_RATES
        rates = api_settings.DEFAULT_THROTTLE_RATES if imported else self.THROTTLE_RATES
        rate = (rates or {}).get(self.scope)
        return str(rate) if rate is not None else None

    def parse_rate(self, rate: str | None) -> tuple[int | None, int | None]:
        """Return the number and the seconds of ``rate``. Raise ImproperlyConfigured if invalid."""
        if rate is None:
            return None, None
        try:
            return parse_rate(rate)
        except ValueError as error:
            raise ImproperlyConfigured(f"The throttle rate of {self.scope!r}: {error}") from None

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        """Return what the request is counted by; None if it isn't throttled."""
        key = request.auth
        if isinstance(key, AbstractApiKey):
            # Shared by all sources of the key.
            ident = f"{key.cache_label()}:{key.pk}"
        elif hasattr(key, "application_id"):
            ident = f"oauth2:{key.application_id}:{request.user.pk}"
        else:
            return None
        return f"frappe_tokens:{self.cache_format % {'scope': self.scope, 'ident': ident}}"

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count the request, and return whether it is allowed."""
        self._seconds_left: int | None = None
        self._ends_at: int | None = None
        name = self.get_cache_key(request, view)
        rate = self._rate_of(request.auth) if name is not None else None
        if name is None or rate is None:
            return True
        if not rate.number:
            self._report(view, rate, 0)
            return False
        try:
            left = self._count(f"{name}:{rate.seconds}", rate)
        except Exception:
            _log_cache_error()
            return True
        self._report(view, rate, max(0, left))
        return left >= 0

    def wait(self) -> int | None:
        """Return the whole seconds until a request is allowed again; None for never."""
        return self._seconds_left

    def budget(self, request: Request, view: APIView) -> Budget | None:
        """Return what is left for the client, without counting ``request``; None if unlimited."""
        name = self.get_cache_key(request, view)
        rate = self._rate_of(request.auth) if name is not None else None
        if name is None or rate is None:
            return None
        if not rate.number:
            return Budget(*rate, remaining=0, reset=None)
        try:
            used, reset = self._used(f"{name}:{rate.seconds}", rate)
        except Exception:
            _log_cache_error()
            return Budget(*rate, remaining=None, reset=None)
        return Budget(*rate, remaining=max(0, rate.number - used), reset=reset)

    def _rate_of(self, key: object) -> Rate | None:
        own = getattr(key, "rate_limit", "")
        if not own:
            return Rate(self.num_requests, self.duration) if self.rate is not None else None
        try:
            return parse_rate(own)
        except ValueError:
            logger.error("The API key %s allows nothing: its rate limit %r is invalid.", key, own)
            return Rate(0, 1)

    def _report(self, view: APIView, rate: Rate, left: int) -> None:
        headers = getattr(view, "headers", None)
        if headers is None:
            return  # a view that DRF hasn't prepared
        # A rate of zero has no end.
        wait = f";t={self._seconds_left}" if self._seconds_left is not None else ""
        policy = f'"{self.scope}";q={rate.number};w={rate.seconds}'
        for name, item in (
            ("RateLimit-Policy", policy),
            ("RateLimit", f'"{self.scope}";r={left}{wait}'),
        ):
            headers[name] = ", ".join(filter(None, (headers.get(name), item)))
        if left <= int(headers.get("X-RateLimit-Remaining", left)):
            headers["X-RateLimit-Limit"] = str(rate.number)
            headers["X-RateLimit-Remaining"] = str(left)
            headers.pop("X-RateLimit-Reset", None)
            if self._ends_at is not None:
                headers["X-RateLimit-Reset"] = str(self._ends_at)

    def _count(self, name: str, rate: Rate) -> int:
        """Count a request. Return how many are left in the period; -1: this one was too many."""
        cache, now = self._counts(), time.time()
        started_at = cache.get_or_set(name, now, rate.seconds) or now
        if started_at > now + _CLOCK_DIFFERENCE:
            # No client waits longer than one period.
            cache.set(name, now, rate.seconds)
            started_at = now
        # The start is in its name. A count must outlive its period, but is never used after it.
        count, timeout = f"{name}:{started_at!r}", rate.seconds + 1
        left = rate.number - increment(cache, count, 1, timeout)
        self._seconds_left = _seconds_left(started_at, rate, now)
        self._ends_at = math.ceil(now) + self._seconds_left
        if left < 0:
            # A refused request doesn't count, so that a higher rate takes effect at once.
            increment(cache, count, -1, timeout)
        return max(-1, left)

    def _used(self, name: str, rate: Rate) -> tuple[int, int]:
        """Return how many requests the period has had, and the seconds until it ends."""
        cache, now = self._counts(), time.time()
        started_at = cache.get(name)
        if started_at is None or started_at > now + _CLOCK_DIFFERENCE:
            return 0, 0
        return cache.get(f"{name}:{started_at!r}", 0), _seconds_left(started_at, rate, now)

    def _counts(self) -> BaseCache:
        own: BaseCache = self.cache
        return caches[conf.CACHE or "default"] if own is _IMPORTED_CACHE else own


def budget_of(request: Request, view: APIView) -> Budget | None:
    """Return the client's closest limit on views that have the project's default throttles.

    ``request`` isn't counted. None: unlimited.
    """
    defaults = [
        cls
        for cls in cast("list[object]", api_settings.DEFAULT_THROTTLE_CLASSES)
        if isinstance(cls, type) and issubclass(cls, ApiKeyRateThrottle)
    ]
    budgets = [cls().budget(request, view) for cls in defaults or [ApiKeyRateThrottle]]
    return min(filter(None, budgets), key=_remaining, default=None)


def _remaining(budget: Budget) -> float:
    return math.inf if budget.remaining is None else budget.remaining


def _seconds_left(started_at: float, rate: Rate, now: float) -> int:
    return min(max(1, math.ceil(started_at + rate.seconds - now)), rate.seconds)
