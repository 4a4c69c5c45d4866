"""django-oauth-toolkit as the server of OAuth 2.

With ``oauth2_provider`` in ``INSTALLED_APPS``, ``BearerAuthentication`` and the middleware accept
its access tokens. Its flows are served at Frappe's addresses by::

    path("api/", include("frappe_tokens.contrib.oauth2.urls")),
    path("", include("frappe_tokens.contrib.oauth2.well_known")),
"""

from __future__ import annotations

from typing import Any

from frappe_tokens import access_tokens
from frappe_tokens.access_tokens import FoundToken
from frappe_tokens.crypto import Secret


def register() -> None:
    """Have the toolkit's access tokens accepted."""
    access_tokens.register(_find)


def _find(token: Secret, request: Any) -> FoundToken | None:
    # Not before the first token comes: it brings along as much as Django itself.
    from .tokens import find

    return find(token, request)
