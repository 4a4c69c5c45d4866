"""The tests' settings with django-jazzmin, which replaces the admin's templates."""

from tests.settings import *  # noqa: F403 - settings are modules, and build on each other so
from tests.settings import INSTALLED_APPS, MIDDLEWARE

THEME = "jazzmin"
INSTALLED_APPS = ["jazzmin", *INSTALLED_APPS]
JAZZMIN_SETTINGS = {"use_google_fonts_cdn": False}
# The theme has inline scripts and styles.
MIDDLEWARE = [name for name in MIDDLEWARE if name != "tests.csp.content_security_policy"]
