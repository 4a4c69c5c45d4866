"""A rate for each API key, for DRF views."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any

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

# How far ahead the clock of another machine may be (s). A period that begins later than that began
# before this clock was set back.
_CLOCK_DIFFERENCE = 1

# DRF reads both once, when its module is imported. Whoever gives a subclass others means those.
_IMPORTED_RATES = SimpleRateThrottle.THROTTLE_RATES
_IMPORTED_CACHE = SimpleRateThrottle.cache


class ApiKeyRateThrottle(SimpleRateThrottle):
    """So many requests in a period for each API key, over all the views that it throttles.

    The rate is the key's own ``rate_limit``, else ``DEFAULT_THROTTLE_RATES["api_key"]``, else
    there is none. A new ``rate_limit`` counts from the next request on. ``0/minute`` lets nothing
    through. An OAuth 2 access token has the default rate, together with all that its application
    gets for the same user: a new token opens no new count. Requests without either (a session,
    nobody, another package's token) are not throttled.

    A key's first request opens a period of the rate's length, and the count starts anew with the
    first request after its end. Requests are counted by one atomic step of the cache, so parallel
    ones, in any number of processes, do not slip through; DRF's own throttles read a list of times
    and write it back, and lose some. The price is that around the end of a period a client may
    send up to twice the number. Requests that were refused do not count.

    The counts are kept in the cache ``FRAPPE_TOKENS["CACHE"]``, else in ``default``; a subclass may
    name another (``cache = caches["other"]``), as it may name a ``rate`` or another ``scope``. A
    subclass with another scope counts for itself. Where the cache does not answer, requests go on.
    """

    scope = "api_key"

    # Of the default rate; set by DRF.
    num_requests: Any
    duration: Any

    def get_rate(self) -> str | None:
        """The rate for keys without one of their own; None for no limit."""
        # Live, unlike DRF's attribute.
        imported = self.THROTTLE_RATES is _IMPORTED_RATES
        rates = api_settings.DEFAULT_THROTTLE_RATES if imported else self.THROTTLE_RATES
        rate: Any = (rates or {}).get(self.scope)
        return str(rate) if rate is not None else None

    def parse_rate(self, rate: str | None) -> tuple[Any, Any]:
        """The number and the seconds of ``rate``.

        Raises:
            ImproperlyConfigured: it is none.
        """
        if rate is None:
            return None, None
        try:
            return parse_rate(rate)
        except ValueError as error:
            raise ImproperlyConfigured(f"The throttle rate of {self.scope!r}: {error}") from None

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        """What the request is counted by; None where it is not throttled."""
        key = request.auth
        if isinstance(key, AbstractApiKey):
            # The same for a key that is reached by two sources.
            ident = f"{key.cache_label()}:{key.pk}"
        elif hasattr(key, "application_id"):
            # None of a token that is of no application: all such together.
            ident = f"oauth2:{key.application_id}:{request.user.pk}"
        else:
            return None
        return f"frappe_tokens:{self.cache_format % {'scope': self.scope, 'ident': ident}}"

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Whether the request may go on. It is counted if so."""
        self._seconds_left: int | None = None
        name = self.get_cache_key(request, view)
        rate = self._rate_of(request.auth) if name is not None else None
        if name is None or rate is None:
            return True
        if not rate.number:
            return False
        try:
            return self._count(f"{name}:{rate.seconds}", rate)
        except Exception:
            _log_cache_error()
            return True

    def wait(self) -> int | None:
        """After how many seconds a request may go on again; None for never.

        Whole ones, as ``Retry-After`` is cut down to that.
        """
        return self._seconds_left

    def _rate_of(self, key: object) -> Rate | None:
        own = getattr(key, "rate_limit", "")
        if not own:
            return Rate(self.num_requests, self.duration) if self.rate is not None else None
        try:
            return parse_rate(own)
        except ValueError:
            # Written past the validation. What cannot be understood allows nothing.
            logger.error("The API key %s has a rate limit that is none: %r.", key, own)
            return Rate(0, 1)

    def _count(self, name: str, rate: Rate) -> bool:
        cache = self._counts()
        now = time.time()
        began_at: Any = cache.get_or_set(name, now, rate.seconds)
        if began_at > now + _CLOCK_DIFFERENCE:
            # Nobody waits longer than one period.
            cache.set(name, now, rate.seconds)
            began_at = now
        # The moment is in the name, so that a count that outlives its period is never met again.
        count = f"{name}:{began_at!r}"
        # One second more than the period: the count must not end before that.
        if increment(cache, count, 1, rate.seconds + 1) <= rate.number:
            return True
        # What was refused is not counted, so that a higher rate opens at once.
        increment(cache, count, -1, rate.seconds + 1)
        seconds_left = math.ceil(began_at + rate.seconds - now)
        self._seconds_left = min(max(1, seconds_left), rate.seconds)
        return False

    def _counts(self) -> BaseCache:
        own: Any = self.cache
        return caches[conf.CACHE or "default"] if own is _IMPORTED_CACHE else own
