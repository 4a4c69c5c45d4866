"""What is fine while developing, and dangerous where others can reach it: ``check --deploy``."""

from __future__ import annotations

from django.conf import settings
from django.core import checks
from django.core.cache import caches
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import CheckMessage

from .settings import value_of

_SECURITY_MIDDLEWARE = "django.middleware.security.SecurityMiddleware"


def check_shared_cache(**kwargs: object) -> list[CheckMessage]:
    """W003: what processes have to share lies in a cache that they do not share."""
    kept = value_of("CACHE")
    alias = kept or "default"
    try:
        shared = not isinstance(caches[alias], LocMemCache | DummyCache)
    except Exception:
        return []
    if shared or (kept is None and value_of("FAILURE_LIMIT") is None):
        return []
    stale = (
        " A key that was revoked by one process goes on working in the others until CACHE_TIMEOUT."
        if kept
        else ""
    )
    return [
        checks.Warning(
            f"The cache {alias!r} is not shared between processes: each of them counts failed "
            f"attempts and the rates of API keys for itself.{stale}",
            hint=f"Use Redis or Memcached for CACHES[{alias!r}]. Where a single process answers "
            "all requests, silence this.",
            id="frappe_tokens.W003",
        )
    ]


def check_counting_cache(**kwargs: object) -> list[CheckMessage]:
    """W008: failed attempts are counted where a refused request's transaction is rolled back."""
    alias = value_of("CACHE") or "default"
    try:
        in_database = isinstance(caches[alias], DatabaseCache)
    except Exception:
        return []
    if not in_database or value_of("FAILURE_LIMIT") is None:
        return []
    return [
        checks.Warning(
            f"The cache {alias!r} is in the database: with ATOMIC_REQUESTS, failed attempts are "
            "forgotten with the transaction of the request that was refused, and without it "
            "parallel ones may be counted as one.",
            hint="Use Redis or Memcached, if only for this: name its alias in "
            "FRAPPE_TOKENS['CACHE'].",
            id="frappe_tokens.W008",
        )
    ]


def check_https(**kwargs: object) -> list[CheckMessage]:
    """W005: tokens may travel in clear."""
    if settings.SECURE_SSL_REDIRECT and _SECURITY_MIDDLEWARE in settings.MIDDLEWARE:
        return []
    return [
        checks.Warning(
            "Plain HTTP is not turned away (SECURE_SSL_REDIRECT): a token sent that way can be "
            "read by everyone on its way, and works for whoever has read it.",
            hint="Set SECURE_SSL_REDIRECT = True, with SecurityMiddleware, and behind a proxy "
            "that ends TLS also SECURE_PROXY_SSL_HEADER. Where the proxy itself does not pass on "
            "plain HTTP, silence this: "
            'SILENCED_SYSTEM_CHECKS = ["security.W008", "frappe_tokens.W005"].',
            id="frappe_tokens.W005",
        )
    ]


def check_failure_limit(**kwargs: object) -> list[CheckMessage]:
    """W006: clients that fail again and again are not told to wait."""
    if value_of("FAILURE_LIMIT", default="wrong") is not None:
        return []
    return [
        checks.Warning(
            "FRAPPE_TOKENS['FAILURE_LIMIT'] is None: a client that sends a wrong token again and "
            "again is never told to wait, and costs a query each time.",
            hint='Remove it for the default, "100/minute". Where something before the app limits '
            "failed attempts, silence this.",
            id="frappe_tokens.W006",
        )
    ]


def check_proxies(**kwargs: object) -> list[CheckMessage]:
    """W007: behind a proxy, everyone seems to come from it."""
    if value_of("NUM_PROXIES", default="wrong") is not None:
        return []
    return [
        checks.Warning(
            "FRAPPE_TOKENS['NUM_PROXIES'] is not set. Behind a proxy, every request seems to come "
            "from the proxy: an API key that is bound to addresses works for everyone or for no "
            "one, and the request log and the last uses name the wrong address.",
            hint="Set NUM_PROXIES to the number of proxies before the app that append to "
            "X-Forwarded-For; 0 where there is none, or where they hand on the client's address "
            "as REMOTE_ADDR.",
            id="frappe_tokens.W007",
        )
    ]
