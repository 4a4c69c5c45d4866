from django.conf import settings

from tests.browser.conftest import axe, open_page, problems, site  # noqa: F401 - fixtures

# They need a process with settings of this directory: tests/browser/test_themes.py starts it.
collect_ignore = [] if hasattr(settings, "THEME") else ["cases", "unfold_admin"]
