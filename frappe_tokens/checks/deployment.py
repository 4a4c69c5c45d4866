"""Checks what is fine during development, but not in a deployment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from django.conf import settings
from django.core import checks
from django.core.cache import caches
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import CheckMessage
from django.db import router, transaction
from django.db.models import F, Q

from ..addresses import X_FORWARDED_FOR
from ..base_models import AbstractApiKey
from ..middleware.installed import logs_requests
from .configuration import source_models, value_of

_UNPEPPERED = "sha256$"
# Frappe's form. Its secrets have as many digits: 60 bits.
_SHORT = Q(api_key__regex=r"^[0-9a-f]{15}$", secret_digest__startswith=_UNPEPPERED)
# A secret that was generated since the import is long.
_AS_IMPORTED = Q(rotated_at__isnull=True) | Q(rotated_at__lte=F("created_at"))

_SECURITY_MIDDLEWARE = "django.middleware.security.SecurityMiddleware"


def check_cache(**kwargs: object) -> Iterator[CheckMessage]:
    """W003, W008: processes don't share the cache, or it forgets failed attempts."""
    holds_keys = value_of("CACHE") is not None
    counts_failures = value_of("FAILURE_LIMIT") is not None
    alias = value_of("CACHE") or "default"
    try:
        cache = caches[alias]
    except Exception:
        return
    if isinstance(cache, LocMemCache | DummyCache) and (holds_keys or counts_failures):
        stale = " If one process revokes a key, it keeps working in the others until CACHE_TIMEOUT."
        yield checks.Warning(
            f"Processes don't share the cache {alias!r}: each counts failed attempts and the rates "
            f"of API keys by itself.{stale if holds_keys else ''}",
            hint=f"Use Redis or Memcached for CACHES[{alias!r}]. If a single process answers all "
            "requests, silence this check.",
            id="frappe_tokens.W003",
        )
    elif isinstance(cache, DatabaseCache) and counts_failures:
        yield checks.Warning(
            f"The cache {alias!r} is in the database: with ATOMIC_REQUESTS, a refused request's "
            "transaction is rolled back with its failed attempt, and without it, parallel attempts "
            "may count as one.",
            hint="Use Redis or Memcached, at least for this: set FRAPPE_TOKENS['CACHE'] to its "
            "alias.",
            id="frappe_tokens.W008",
        )


def check_replicated_cache(**kwargs: object) -> Iterator[CheckMessage]:
    """W019: cached keys come from a replica, which may lag behind."""
    alias = value_of("CACHE")
    caches_by_alias: Mapping[str, Mapping[str, object]] = settings.CACHES
    configured = caches_by_alias.get(alias, {}) if alias is not None else {}
    location, options = configured.get("LOCATION"), configured.get("OPTIONS")
    servers = re.split("[,;]", location) if isinstance(location, str) else location
    several = isinstance(servers, list | tuple) and len(servers) > 1
    client = options.get("CLIENT_CLASS") if isinstance(options, Mapping) else ""
    if str(configured.get("BACKEND")).endswith(".RedisCache") and (
        several or str(client).endswith(".SentinelClient")
    ):
        yield checks.Warning(
            f"CACHES[{alias!r}] reads from Redis replicas. While one lags behind, a cached API key "
            "keeps working after it was revoked.",
            hint="Name only one server in LOCATION. For Redis Sentinel, use django-redis with "
            "SentinelConnectionFactory and without SentinelClient. See "
            "docs/how-to/run-on-many-machines.md.",
            id="frappe_tokens.W019",
        )


def check_https(**kwargs: object) -> Iterator[CheckMessage]:
    """W005: tokens may be sent unencrypted."""
    if not settings.SECURE_SSL_REDIRECT or _SECURITY_MIDDLEWARE not in settings.MIDDLEWARE:
        yield checks.Warning(
            "Plain HTTP isn't redirected (SECURE_SSL_REDIRECT): everyone on the way can read and "
            "use a token that is sent that way.",
            hint="Set SECURE_SSL_REDIRECT = True, with SecurityMiddleware, and behind a proxy that "
            "ends TLS also SECURE_PROXY_SSL_HEADER. If the proxy itself redirects plain HTTP, "
            'silence this check: SILENCED_SYSTEM_CHECKS = ["security.W008", "frappe_tokens.W005"].',
            id="frappe_tokens.W005",
        )


def check_failure_limit(**kwargs: object) -> Iterator[CheckMessage]:
    """W006: clients that keep failing never have to wait."""
    if value_of("FAILURE_LIMIT", default="invalid") is None:
        yield checks.Warning(
            "FRAPPE_TOKENS['FAILURE_LIMIT'] is None: a client that keeps sending a wrong token "
            "never has to wait, and costs a query each time.",
            hint='Remove it for the default, "100/minute". If something before the app limits '
            "failed attempts, silence this check.",
            id="frappe_tokens.W006",
        )


def check_proxies(**kwargs: object) -> Iterator[CheckMessage]:
    """W007: behind a proxy, everyone seems to come from it."""
    header = value_of("CLIENT_ADDRESS_HEADER", default="invalid").lower()
    if header == X_FORWARDED_FOR and value_of("NUM_PROXIES", default="invalid") is None:
        yield checks.Warning(
            "FRAPPE_TOKENS['NUM_PROXIES'] is not set. Behind a proxy, every request seems to come "
            "from the proxy: allowed addresses of an API key match everyone or no one, and the "
            "request log and last uses have the wrong address.",
            hint="Set NUM_PROXIES to the number of proxies before the app that append to "
            "X-Forwarded-For. Set it to 0 if there are none, or if they pass the client's address "
            "as REMOTE_ADDR. If your proxy writes it into another header, name that in "
            "CLIENT_ADDRESS_HEADER.",
            id="frappe_tokens.W007",
        )


def check_retention(**kwargs: object) -> Iterator[CheckMessage]:
    """W013: the request log grows without end."""
    if (
        value_of("REQUEST_LOG_RETENTION", default="invalid") is None
        and value_of("REQUEST_LOG") in ("buffered", "durable")
        and any(logs_requests(path) for path in settings.MIDDLEWARE)
    ):
        yield checks.Warning(
            "FRAPPE_TOKENS['REQUEST_LOG_RETENTION'] is not set: rows of the request log are kept "
            "forever.",
            hint="Set it to how long you need them, for example timedelta(days=90). If something "
            "else deletes them, such as prune_request_log, silence this check.",
            id="frappe_tokens.W013",
        )


def check_secrets(
    databases: Sequence[str] | None = None, **kwargs: object
) -> Iterator[CheckMessage]:
    """W004: short secrets could be found by trying, with a stolen table."""
    hint = (
        "Set FRAPPE_TOKENS['PEPPERS']: each is then stored with the pepper at the key's next use. "
        "Or rotate the keys: generated secrets are long enough."
    )
    if value_of("PEPPERS"):
        hint = (
            "Each is stored with the pepper at the key's next use. Rotate or revoke keys that "
            "aren't used."
        )
    models = {model.cache_label(): model for model in source_models()}  # each table once
    for alias in databases or ():
        for model in models.values():
            if number := _count(model, alias):
                yield checks.Warning(
                    f"{number} unrevoked API keys of {model._meta.label} (database {alias!r}) came "
                    "from Frappe with secrets of 15 digits, and are stored without a pepper: "
                    "someone with the table could find them by trying.",
                    hint=hint,
                    id="frappe_tokens.W004",
                )


def _count(model: type[AbstractApiKey], alias: str) -> int:
    try:
        if not router.allow_migrate_model(alias, model):
            return 0
        # A savepoint, because the table may not exist before the first migration.
        with transaction.atomic(using=alias):
            keys = model._base_manager.using(alias).filter(_SHORT, _AS_IMPORTED)
            return int(keys.filter(revoked_at__isnull=True).count())
    except Exception:
        return 0
