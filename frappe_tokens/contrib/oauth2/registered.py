"""Clients that nobody here has registered: they did so themselves, or have a metadata document.

Anyone on the internet may be behind one (RFC 7591, section 5; CIMD). So they are never trusted, and
get no more scopes than are declared for them.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable

from django.core.cache import caches
from oauth2_provider.models import AbstractApplication as Application

from frappe_tokens.conf import conf
from frappe_tokens.logs import RateLimitedLogger
from frappe_tokens.verification import RETRY_AFTER_SECONDS, RequestInfo, increment, network_of

_log_cache_error = RateLimitedLogger(
    logging.getLogger("frappe_tokens.contrib.oauth2"),
    "The cache doesn't answer. OAuth 2 clients can't register.",
)

PREFIX = "frappe_tokens:registrations:"

# All addresses together may register this many times as many clients as one.
TOGETHER = 100


def is_unchecked(application: Application) -> bool:
    """Whether nobody here has registered ``application``."""
    return bool(application.registration_source != Application.RegistrationSource.MANUAL)


def allowed_scopes(application: Application, scopes: Iterable[str]) -> list[str]:
    """Return those of ``scopes`` that ``application`` may have."""
    if not is_unchecked(application):
        return list(scopes)
    declared = conf.OAUTH_REGISTRATION_SCOPES
    return [scope for scope in scopes if scope in declared]


def seconds_to_wait(info: RequestInfo) -> int | None:
    """Count a registration. Return after how many seconds to try again; None if it may go on.

    Nobody may register while the cache doesn't answer, because nothing would limit that.
    """
    limit = conf.OAUTH_REGISTRATION_LIMIT
    if limit is None:
        return None
    now = time.time()
    window = int(now // limit.seconds)
    counts = {network_of(info.address()): limit.number, "all": limit.number * TOGETHER}
    try:
        cache = caches[conf.CACHE or "default"]
        for name, most in counts.items():
            name = f"{PREFIX}{limit.number}/{limit.seconds}:{name}:{window}"
            if increment(cache, name, 1, limit.seconds + 1) > most:
                return math.ceil((window + 1) * limit.seconds - now)
    except Exception:
        _log_cache_error()
        return RETRY_AFTER_SECONDS
    return None
