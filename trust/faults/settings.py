"""The example project's settings as in production.

In the environment, besides ``DATABASE_URL`` and ``REDIS_URL``: ``TRUST_CACHE``, the cache alias for
``FRAPPE_TOKENS["CACHE"]``.
"""

import os
from datetime import timedelta
from typing import Any

from testproject.settings import *  # noqa: F403 - all settings that this module doesn't replace
from testproject.settings import DATABASES, MIDDLEWARE

SECRET_KEY = "only for servers on loopback, for as long as they are tried"
DEBUG = False
SECURE_SSL_REDIRECT = False
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "trust.faults.urls"
WSGI_APPLICATION = "trust.faults.wsgi.application"

DATABASES["default"]["CONN_MAX_AGE"] = 600  # seconds
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # As Django advises, or else a transaction that has read may not write.
    DATABASES["default"]["OPTIONS"] = {"transaction_mode": "IMMEDIATE"}

at = MIDDLEWARE.index("django.contrib.auth.middleware.AuthenticationMiddleware") + 1
OURS = "frappe_tokens.middleware.TokenAuthenticationMiddleware"
MIDDLEWARE = [*MIDDLEWARE[:at], OURS, *MIDDLEWARE[at:]]

if REDIS_URL := os.environ.get("REDIS_URL"):
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            # Shorter than redis-py's own.
            "OPTIONS": {"socket_timeout": 0.25, "socket_connect_timeout": 0.25},
        }
    }

FRAPPE_TOKENS: dict[str, Any] = {
    "CACHE": os.environ.get("TRUST_CACHE") or None,
    # Many more UPDATEs than by default.
    "LAST_USED_INTERVAL": timedelta(seconds=2),
    "REQUEST_LOG": "buffered",
    "NUM_PROXIES": 0,
}
