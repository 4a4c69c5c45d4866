"""The example project's settings, made fit for tests."""

import os
import tempfile
from pathlib import Path

from testproject.settings import *  # noqa: F403 - all settings that this module doesn't replace
from testproject.settings import (
    DATABASES,
    FRAPPE_TOKENS,
    INSTALLED_APPS,
    MIDDLEWARE,
    OAUTH2_PROVIDER,
)

# Django 6.1 warns without it, and 5.2 doesn't read it.
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}

SECRET_KEY = "only for tests, and long enough to sign JSON Web Tokens with"
DEBUG = False
SECURE_SSL_REDIRECT = False

# The names are of no use outside the tests, so they need not be slow to check.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A file, because threads (the live server's, parallel writers) share no database in memory.
    DATABASES["default"]["TEST"] = {
        "NAME": str(Path(tempfile.mkdtemp(prefix="frappe_tokens-tests-")) / "test.sqlite3")
    }
    # No commit waits for the disk.
    DATABASES["default"].setdefault("OPTIONS", {})["init_command"] = "PRAGMA synchronous = OFF"

# The same database by another connection, as a replica that is never behind.
DATABASES["replica"] = {**DATABASES["default"], "TEST": {"MIRROR": "default"}}

if REDIS_URL := os.environ.get("REDIS_URL"):
    # One database of Redis for all test processes that run side by side, each with its own keys.
    CACHES = {
        "default": {
            "BACKEND": "tests.caches.SharedRedisCache",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": f"tests-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}",
        }
    }

# Other packages, most of which send the same scheme words; the app has to live beside them.
INSTALLED_APPS = [
    *INSTALLED_APPS,
    "auditlog",
    "corsheaders",
    "guardian",
    "knox",
    "rest_framework.authtoken",
    "rest_framework_api_key",
    "tests.sources",
]

# Without its backend, which tests of team leads add, and without its user.
ANONYMOUS_USER_NAME = None
SILENCED_SYSTEM_CHECKS = ["guardian.W001"]

# The defaults; tests of these features switch them on.
FRAPPE_TOKENS = {**FRAPPE_TOKENS, "SELF_SERVICE": False, "NUM_PROXIES": None, "ALL_SCOPE": ""}
FRAPPE_TOKENS |= {"OAUTH_DYNAMIC_REGISTRATION": False, "OAUTH_REGISTRATION_SCOPES": []}

# Those of the tests' views and keys. Without SCOPES, these are the scopes that keys may have.
_SCOPES = ["a", "b", "keys", "more", "notes", "other", "prices", "reports", "todo", "user", "weld"]
_SCOPES += [f"{group}:read" for group in ("prices", "reports", "todos", "users")]
_SCOPES += ["event", "reports:write", "todos:all", "todos:done", "todos:write"]
OAUTH2_PROVIDER = {
    **OAUTH2_PROVIDER,
    "SCOPES": {**OAUTH2_PROVIDER["SCOPES"], **dict.fromkeys(_SCOPES, "For a test")},
}

# Rows are in the table as soon as a test looks, even if it commits.
FRAPPE_TOKENS["REQUEST_LOG"] = "durable"

MIDDLEWARE = ["tests.csp.content_security_policy", *MIDDLEWARE]

if os.environ.get("REPLICA"):
    DATABASE_ROUTERS = ["tests.replicas.LateReplica"]
