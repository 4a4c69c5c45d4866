"""Whether the middleware that authenticates stands where it has to."""

from __future__ import annotations

from django.conf import settings
from django.core.checks import CheckMessage, Error

from ..middleware import TokenAuthenticationMiddleware
from ..middleware.installed import misplaced


def check_middleware_order(**kwargs: object) -> list[CheckMessage]:
    """E006: what comes behind it would put another user in the place of the header's."""
    return [
        Error(
            f"In MIDDLEWARE, {name} stands behind TokenAuthenticationMiddleware.",
            hint="Put frappe_tokens.middleware.TokenAuthenticationMiddleware right behind "
            "django.contrib.auth.middleware.AuthenticationMiddleware. The server does not start "
            "as it is.",
            id="frappe_tokens.E006",
        )
        for name in misplaced(settings.MIDDLEWARE, TokenAuthenticationMiddleware)
    ]
