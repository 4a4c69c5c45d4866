"""Whether our middleware is where it has to be, and the request log can be written there."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage
from django.db import connections, router

from ..middleware import TokenAuthenticationMiddleware
from ..middleware.installed import logs_requests, misplaced
from ..models import ApiRequestLog
from .configuration import value_of

_REQUEST_LOG = "frappe_tokens.middleware.RequestLogMiddleware"

# They respond instead of later ones, or change the status of their response.
_RESPONDING = frozenset(
    {
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
        "django.middleware.cache.CacheMiddleware",
        "django.middleware.cache.FetchFromCacheMiddleware",
        "django.middleware.cache.UpdateCacheMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
        "django.middleware.locale.LocaleMiddleware",
        "django.middleware.security.SecurityMiddleware",
        "frappe_tokens.middleware.TokenAuthenticationMiddleware",
    }
)


def check_authentication(**kwargs: object) -> Iterator[CheckMessage]:
    """E006: a later middleware would replace the header's user."""
    for name in misplaced(settings.MIDDLEWARE, TokenAuthenticationMiddleware):
        yield checks.Error(
            f"In MIDDLEWARE, {name} comes after TokenAuthenticationMiddleware.",
            hint="Put frappe_tokens.middleware.TokenAuthenticationMiddleware right after "
            "django.contrib.auth.middleware.AuthenticationMiddleware. The server doesn't start "
            "before.",
            id="frappe_tokens.E006",
        )


def check_request_log(**kwargs: object) -> Iterator[CheckMessage]:
    """W009, W010: requests don't reach the log."""
    paths = list(settings.MIDDLEWARE)
    place = next((place for place, path in enumerate(paths) if logs_requests(path)), None)
    if place is None:
        # Without the setting, a project may want no log. If it is valid, there is a dictionary.
        is_valid = value_of("REQUEST_LOG", "null") != "null"
        if is_valid and "REQUEST_LOG" in (getattr(settings, "FRAPPE_TOKENS", None) or {}):
            yield checks.Warning(
                "FRAPPE_TOKENS['REQUEST_LOG'] is set, but RequestLogMiddleware is not in "
                "MIDDLEWARE: no requests are logged.",
                hint=f'Put "{_REQUEST_LOG}" first in MIDDLEWARE. For no log, set REQUEST_LOG to '
                '"null".',
                id="frappe_tokens.W009",
            )
    elif earlier := [path for path in paths[:place] if path in _RESPONDING]:
        yield checks.Warning(
            f"In MIDDLEWARE, {', '.join(earlier)} before {paths[place]}: its responses are not in "
            "the request log, or with another status than the final one.",
            hint=f'Put "{paths[place]}" first.',
            id="frappe_tokens.W010",
        )


def check_autocommit(**kwargs: object) -> Iterator[CheckMessage]:
    """W011: what the middleware writes is never committed."""
    alias = router.db_for_write(ApiRequestLog)
    if (
        not connections.settings[alias].get("AUTOCOMMIT", True)
        and value_of("REQUEST_LOG") == "durable"
        and any(logs_requests(path) for path in settings.MIDDLEWARE)
    ):
        yield checks.Warning(
            f"AUTOCOMMIT is False for the database {alias!r}: what the durable request log writes "
            "is never committed.",
            hint="Set FRAPPE_TOKENS['REQUEST_LOG'] to \"buffered\", which commits by itself, or "
            "remove AUTOCOMMIT.",
            id="frappe_tokens.W011",
        )
