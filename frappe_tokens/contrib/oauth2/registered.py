"""Clients that nobody here has registered: they did so themselves, or have a metadata document.

Anyone on the internet may be behind one (RFC 7591, section 5; CIMD). So they are never trusted, and
get no more scopes than are declared for them.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable
from datetime import datetime

from django.core.cache import caches
from django.db.models import QuerySet
from django.utils import timezone
from oauth2_provider.models import AbstractApplication as Application
from oauth2_provider.models import (
    get_access_token_model,
    get_application_model,
    get_grant_model,
    get_refresh_token_model,
    refresh_token_expire_timedelta,
)
from oauth2_provider.settings import oauth2_settings

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


def unused_since(before: datetime) -> QuerySet[Application]:
    """Return the unchecked clients that nobody has used since ``before``.

    They were registered earlier, have no token that expired later, and none that still works.
    """
    live_codes = get_grant_model()._default_manager.filter(expires__gte=timezone.now())
    # One for managing a registration never expires.
    access_tokens = get_access_token_model()._default_manager.exclude(
        scope=oauth2_settings.DCR_REGISTRATION_SCOPE
    )
    refresh_tokens = get_refresh_token_model()._default_manager.filter(revoked=None)
    if lifetime := refresh_token_expire_timedelta():
        refresh_tokens = refresh_tokens.filter(access_token__expires__gte=before - lifetime)
    in_use = [live_codes, access_tokens.filter(expires__gte=before), refresh_tokens]
    unused = get_application_model()._default_manager.exclude(
        registration_source=Application.RegistrationSource.MANUAL
    )
    for rows in in_use:
        unused = unused.exclude(pk__in=rows.exclude(application=None).values("application"))
    unused_clients: QuerySet[Application] = unused.filter(created__lt=before)
    return unused_clients
