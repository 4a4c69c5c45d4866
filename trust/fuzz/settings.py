"""The settings of the tests, with a database in memory and nothing that counts refusals."""

from tests.settings import *  # noqa: F403 - all settings that this module doesn't replace
from tests.settings import FRAPPE_TOKENS

DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DATABASE_ROUTERS: list[str] = []
FRAPPE_TOKENS = {
    **FRAPPE_TOKENS,
    "REQUEST_LOG": "null",
    "FAILURE_LIMIT": None,
    "SOURCES": {"EventConsumer": "events.EventConsumer"},
}
