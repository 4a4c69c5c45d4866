"""The benchmarks' settings for plain views, and for an async server.

In the environment: ``BENCHMARKS_PLAIN``, for the middleware that authenticates for plain views;
``BENCHMARKS_ASYNC`` for a server whose threads end with the requests.
"""

import os

from .settings import *  # noqa: F403 - all settings that this module doesn't replace
from .settings import DATABASES, MIDDLEWARE

ROOT_URLCONF = "benchmarks.asynchronous_served"

# Logging would take most of the time.
MIDDLEWARE = [name for name in MIDDLEWARE if not name.endswith(".RequestLogMiddleware")]
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"

if os.environ.get("BENCHMARKS_ASYNC"):
    AUTHENTICATION = "benchmarks.anonymous.anonymous"
    MIDDLEWARE = [AUTHENTICATION]
    # As Django recommends: a persistent connection would belong to a thread that ends.
    DATABASES["default"]["CONN_MAX_AGE"] = 0
    if DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
        DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {"min_size": 4, "max_size": 20}

if os.environ.get("BENCHMARKS_PLAIN"):
    place = MIDDLEWARE.index(AUTHENTICATION) + 1
    MIDDLEWARE.insert(place, "frappe_tokens.middleware.TokenAuthenticationMiddleware")
