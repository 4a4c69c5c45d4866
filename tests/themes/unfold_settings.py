"""The tests' settings with django-unfold, which replaces the admin's templates and fields."""

from tests.settings import *  # noqa: F403 - settings are modules, and build on each other so
from tests.settings import INSTALLED_APPS, MIDDLEWARE

THEME = "unfold"
INSTALLED_APPS = ["unfold", *INSTALLED_APPS, "tests.themes.unfold_admin"]
# The theme has inline scripts and styles.
MIDDLEWARE = [name for name in MIDDLEWARE if name != "tests.csp.content_security_policy"]
