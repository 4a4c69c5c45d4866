"""The example project's settings with next to nothing around the authentication class.

In the environment, besides ``DATABASE_URL`` and ``REDIS_URL``: ``TIMING_CACHE``, the cache alias
for ``FRAPPE_TOKENS["CACHE"]``, and ``TIMING_LIMIT``, the ``FAILURE_LIMIT``.
"""

import os
from datetime import timedelta
from typing import Any

from testproject.settings import *  # noqa: F403 - all settings that this module doesn't replace
from testproject.settings import DATABASES

SECRET_KEY = "only for servers on loopback, for as long as they are measured"
DEBUG = False
SECURE_SSL_REDIRECT = False
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "trust.timing.urls"
# What takes time for every request only hides differences. This one sets Content-Length.
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]

DATABASES["default"]["CONN_MAX_AGE"] = None

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        # By default, it holds 300 entries.
        "OPTIONS": {"MAX_ENTRIES": 1_000_000},
    },
    "redis": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": os.environ["REDIS_URL"],
    },
}

# What is cached at the beginning stays cached.
A_WHILE = timedelta(hours=6)

FRAPPE_TOKENS: dict[str, Any] = {
    "SOURCES": {"EventConsumer": "events.EventConsumer"},
    "PEPPERS": ["the newest pepper, only for keys here", "an older pepper, only for keys here"],
    "CACHE": os.environ.get("TIMING_CACHE") or None,
    "CACHE_TIMEOUT": A_WHILE,
    "LAST_USED_INTERVAL": A_WHILE,
    "FAILURE_LIMIT": os.environ.get("TIMING_LIMIT") or None,
    "NUM_PROXIES": 0,
    "REQUEST_LOG": "null",
}
