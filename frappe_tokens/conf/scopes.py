"""The scopes that keys may have: those of ``SCOPES``, or of django-oauth-toolkit."""

from __future__ import annotations

import re
from collections.abc import Mapping

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import Promise
from django.utils.module_loading import import_string

# A scope and what it allows, which may be translated.
Scopes = Mapping[str, str | Promise]

# RFC 6749, section 3.3, without commas, because forms separate scopes by them.
SCOPE = re.compile(r"[!#-+\--\[\]-~]+")


def check_scopes(scopes: Scopes) -> Scopes:
    """Return ``scopes``, or raise ImproperlyConfigured if one of them is invalid."""
    for scope, description in scopes.items():
        if not isinstance(scope, str) or not SCOPE.fullmatch(scope):
            raise ImproperlyConfigured(
                f"FRAPPE_TOKENS['SCOPES'] has {scope!r}, which is not a valid scope. Use "
                "printable ASCII characters without spaces, commas, quotes and backslashes."
            )
        if not isinstance(description, str | Promise):
            raise ImproperlyConfigured(
                f"FRAPPE_TOKENS['SCOPES'][{scope!r}] must be a text that says what the scope "
                'allows, such as "Read to-dos".'
            )
    return scopes


def scopes_of_toolkit() -> Scopes | None:
    """Return the scopes of django-oauth-toolkit; None if it isn't installed."""
    if not apps.is_installed("oauth2_provider"):
        return None
    # By name, because the core must run without it. A project may replace the backend.
    scopes: Scopes = import_string("oauth2_provider.scopes.get_scopes_backend")().get_all_scopes()
    return scopes
