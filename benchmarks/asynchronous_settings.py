"""The benchmarks' settings for plain views, and for an async server.

In the environment: ``BENCHMARKS_PLAIN``, for the middleware that authenticates for plain views;
``BENCHMARKS_ASYNC``, where threads come and go with the requests.
"""

import importlib.util
import os

from .settings import *  # noqa: F403 - all settings that this module doesn't replace
from .settings import DATABASES, MIDDLEWARE

ROOT_URLCONF = "benchmarks.asynchronous_served"

# Writing requests down is not authenticating, and would be most of every line.
MIDDLEWARE = [name for name in MIDDLEWARE if not name.endswith(".RequestLogMiddleware")]
if os.environ.get("BENCHMARKS_PLAIN"):
    place = MIDDLEWARE.index("django.contrib.auth.middleware.AuthenticationMiddleware") + 1
    MIDDLEWARE.insert(place, "frappe_tokens.middleware.TokenAuthenticationMiddleware")

if os.environ.get("BENCHMARKS_ASYNC"):
    DATABASES["default"]["CONN_MAX_AGE"] = 0
    # As Django recommends: a connection that lasts would belong to a thread that does not.
    is_postgresql = DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql"
    if is_postgresql and importlib.util.find_spec("psycopg_pool"):
        DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {"min_size": 4, "max_size": 20}
