"""Limits how many clients register themselves."""

from __future__ import annotations

import logging
import math
import time
from datetime import timedelta

from django.core.cache import caches
from django.db import router
from django.utils import timezone
from oauth2_provider.models import AbstractApplication as Application
from oauth2_provider.models import get_application_model

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


def count_registration(info: RequestInfo) -> int | None:
    """Count a registration. Return after how many seconds to try again; None if it is allowed.

    The clients of an address are counted in the cache. If it doesn't answer, no one may register.
    The clients of all addresses are counted in the database, because a cache may forget.
    """
    limit = conf.OAUTH_REGISTRATION_LIMIT
    if limit is None:
        return None
    if _registered_in(limit.seconds) >= limit.number * TOGETHER:
        return limit.seconds
    network = network_of(info.address())
    if not network:
        return None  # all clients would be counted together
    now = time.time()
    window = int(now // limit.seconds)
    # The rate is in the name, so that a new rate starts a new count.
    name = f"{PREFIX}{limit.number}/{limit.seconds}:{network}:{window}"
    try:
        counted = increment(caches[conf.CACHE or "default"], name, 1, limit.seconds + 1)
    except Exception:
        _log_cache_error()
        return RETRY_AFTER_SECONDS
    return math.ceil((window + 1) * limit.seconds - now) if counted > limit.number else None


def _registered_in(seconds: int) -> int:
    """Return how many clients registered in the last ``seconds``."""
    since = timezone.now() - timedelta(seconds=seconds)
    model = get_application_model()
    applications = model._default_manager.using(router.db_for_write(model)).filter(
        created__gte=since
    )
    count: int = applications.exclude(
        registration_source=Application.RegistrationSource.MANUAL
    ).count()
    return count
