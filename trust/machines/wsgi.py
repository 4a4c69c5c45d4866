"""WSGI entry point of the site."""

import os

from django.core.wsgi import get_wsgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "trust.machines.settings"

application = get_wsgi_application()
