"""Settings of the processes that tests start: the example project, beside the tests' database."""

import os

from testproject.settings import *  # noqa: F403 - settings are modules, and build on each other so
from testproject.settings import FRAPPE_TOKENS

DEBUG = False
SECURE_SSL_REDIRECT = False
FRAPPE_TOKENS = {
    **FRAPPE_TOKENS,
    "REQUEST_LOG": os.environ.get("REQUEST_LOG", "durable"),
    "REQUEST_LOG_LIMIT": None,
}
