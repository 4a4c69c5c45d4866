"""The example project's settings with the other packages, only for benchmarks.

In the environment, besides ``DATABASE_URL`` and ``REDIS_URL``: ``BENCHMARKS_CACHE``, the cache
alias for ``FRAPPE_TOKENS["CACHE"]``. Settings are process-wide, so a server with a cache is another
server.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from testproject.settings import *  # noqa: F403 - all settings that this module doesn't replace
from testproject.settings import DATABASES, INSTALLED_APPS, MIDDLEWARE

# The same in all processes, and long enough to sign JSON Web Tokens.
SECRET_KEY = "only for measuring, on loopback, for as long as a benchmark runs"
DEBUG = False
SECURE_SSL_REDIRECT = False
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]

# A separate database, with the same name in all processes.
named = Path(DATABASES["default"]["NAME"])
DATABASES["default"]["NAME"] = str(named.with_stem(f"{named.stem}_bench"))
DATABASES["default"]["TEST"] = {"NAME": DATABASES["default"]["NAME"]}
DATABASES["default"]["CONN_MAX_AGE"] = 600  # seconds

INSTALLED_APPS = [
    *INSTALLED_APPS,
    "rest_framework.authtoken",
    "knox",
    "rest_framework_api_key",
    "benchmarks",
]
# Logging is measured separately. The other packages log nothing.
LOG_MIDDLEWARE = "frappe_tokens.middleware.RequestLogMiddleware"
MIDDLEWARE = [name for name in MIDDLEWARE if name != LOG_MIDDLEWARE]
ROOT_URLCONF = "benchmarks.urls"
WSGI_APPLICATION = "benchmarks.wsgi.application"

REDIS_URL = os.environ.get("REDIS_URL")
REDIS_PREFIX = "frappe_tokens_bench"
LOCAL_MEMORY = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "local"}
CACHES = {
    "default": {**LOCAL_MEMORY, "LOCATION": "default"},
    "local": LOCAL_MEMORY,
}
if REDIS_URL:
    # Each has its own prefix: a process doesn't trust what another alias cached.
    for alias, backend in (
        ("redis", "django.core.cache.backends.redis.RedisCache"),
        ("django-redis", "django_redis.cache.RedisCache"),
    ):
        CACHES[alias] = {
            "BACKEND": backend,
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": f"{REDIS_PREFIX}_{alias}",
        }
    CACHES["default"] = CACHES["redis"]

# Everything else is the default.
FRAPPE_TOKENS: dict[str, Any] = {
    "SOURCES": {"FewKeys": "benchmarks.FewKeys", "ManyKeys": "benchmarks.ManyKeys"},
    # Otherwise, with random keys, most requests would record the first use of their key.
    "LAST_USED_INTERVAL": timedelta(days=1),
}
if os.environ.get("BENCHMARKS_CACHE"):
    FRAPPE_TOKENS["CACHE"] = os.environ["BENCHMARKS_CACHE"]
