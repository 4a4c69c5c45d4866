"""The site of the faults, without OAuth 2, and with migrations that a next version might have."""

import os

from trust.faults.settings import *  # noqa: F403 - all settings that this module doesn't replace
from trust.faults.settings import DATABASES, FRAPPE_TOKENS, INSTALLED_APPS

LEFT_OUT = {"oauth2_provider", "drf_spectacular", "testproject.todos", "testproject.events"}
INSTALLED_APPS = [name for name in INSTALLED_APPS if name not in LEFT_OUT]
MIGRATION_MODULES = {"frappe_tokens": "trust.upgrades.migrations"}
WSGI_APPLICATION = "trust.upgrades.wsgi.application"

# The site is given the name of the database that the trial has made.
DATABASES["default"]["TEST"] = {"NAME": os.environ.get("UPGRADES_NAME")}
match DATABASES["default"]["ENGINE"].rpartition(".")[2]:
    case "sqlite3":
        DATABASES["default"]["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            # So that reads don't wait for a migration.
            "init_command": "PRAGMA journal_mode = WAL",
        }
    case "postgresql":
        # Prepared statements see columns come and go.
        DATABASES["default"]["OPTIONS"] = {"prepare_threshold": 5}

# The failures of one address are part of the load.
FRAPPE_TOKENS = {**FRAPPE_TOKENS, "FAILURE_LIMIT": None}
