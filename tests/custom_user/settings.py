"""The tests' settings with another user model, in a database of its own."""

from tests.settings import *  # noqa: F403 - settings are modules, and build on each other so
from tests.settings import DATABASES, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.custom_user.apps.CustomUserConfig"]
AUTH_USER_MODEL = "custom_user.Person"

# Beside the one that the process that started this one may be using.
if DATABASES["default"]["ENGINE"] != "django.db.backends.sqlite3":
    DATABASES["default"]["TEST"] = {"NAME": f"test_{DATABASES['default']['NAME']}_custom_user"}
