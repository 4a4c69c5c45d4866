"""The settings of the site that uvicorn serves: as the tests', by themselves in a process."""

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, FRAPPE_TOKENS, MIDDLEWARE

ROOT_URLCONF = "tests.plain.served.urls"
ALLOWED_HOSTS = ["127.0.0.1"]

place = MIDDLEWARE.index("django.contrib.auth.middleware.AuthenticationMiddleware") + 1
MIDDLEWARE = [
    *MIDDLEWARE[:place],
    "frappe_tokens.middleware.TokenAuthenticationMiddleware",
    *MIDDLEWARE[place:],
]

# A hundred fail on purpose, from one address, and Redis counts what earlier runs did as well.
FRAPPE_TOKENS = {**FRAPPE_TOKENS, "FAILURE_LIMIT": None}

# SQLite lets one write at a time, and the log tells of each request that it had to leave out.
is_sqlite = DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3"
unlogged = {"frappe_tokens.middleware.RequestLogMiddleware"} if is_sqlite else set()
MIDDLEWARE = [name for name in MIDDLEWARE if name not in unlogged]
