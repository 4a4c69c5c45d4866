"""The settings of the tests, with a database for one process and caches that stop."""

import os

from tests.settings import *  # noqa: F403 - all settings that this module doesn't replace
from tests.settings import DATABASES, FRAPPE_TOKENS

DATABASES = {"default": DATABASES["default"]}
_options = DATABASES["default"].setdefault("OPTIONS", {})
_test = DATABASES["default"].setdefault("TEST", {})
_test.setdefault("NAME", f"trust_races_{os.getpid()}")
_test["MIGRATE"] = False  # by the models: migrations take longer than a quick run of races
DATABASE_ROUTERS: list[str] = []

match DATABASES["default"]["ENGINE"].rpartition(".")[2]:
    case "sqlite3":
        # The scheduler waits instead (scheduler.py).
        _options["timeout"] = 0
    case "postgresql":
        # A deadlock ends soon, and no commit waits for the disk.
        _options["options"] = "-c deadlock_timeout=20ms -c synchronous_commit=off"
    case "mysql":
        _options["isolation_level"] = os.environ.get("RACES_ISOLATION", "read committed")

CACHES = {
    "default": {"BACKEND": "trust.races.stopping_caches.StoppingLocMemCache"},
    "redis": {
        "BACKEND": "trust.races.stopping_caches.StoppingRedisCache",
        "LOCATION": os.environ.get("REDIS_URL", ""),
        "KEY_PREFIX": f"trust-races-{os.getpid()}",
    },
}
if not os.environ.get("REDIS_URL"):
    CACHES["redis"] = {**CACHES["default"], "LOCATION": "instead of Redis"}

# Wrong secrets are part of a race, and tell nothing if they are counted.
FRAPPE_TOKENS = {
    **FRAPPE_TOKENS,
    "REQUEST_LOG": "null",
    "FAILURE_LIMIT": None,
    "SOURCES": {"User": "frappe_tokens.ApiKey", "Robot": "sources.Robot"},
}
