"""WSGI entry point of the site. ``UPGRADES_VERSION``: a folder with another version of the app."""

import os
import sys

if folder := os.environ.get("UPGRADES_VERSION"):
    sys.path.insert(0, folder)

from django.core.wsgi import get_wsgi_application

import frappe_tokens

assert frappe_tokens.__file__.startswith(folder or ""), frappe_tokens.__file__

os.environ["DJANGO_SETTINGS_MODULE"] = "trust.upgrades.settings"

application = get_wsgi_application()
