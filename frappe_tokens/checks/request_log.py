"""Whether the request log can be written, and sees what there is to log."""

from __future__ import annotations

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router

from ..middleware.installed import logs_requests
from ..models import ApiRequestLog
from ..request_log import current_sink
from .settings import value_of

_MIDDLEWARE = "frappe_tokens.middleware.RequestLogMiddleware"

# They answer in place of what stands behind them, or change the status of its answer.
_ANSWER = frozenset(
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


def check_sink(**kwargs: object) -> list[CheckMessage]:
    """E005: what ``REQUEST_LOG`` names cannot be used."""
    if value_of("REQUEST_LOG") is None:
        return []
    try:
        current_sink()
    except ImproperlyConfigured as error:
        return [
            checks.Error(
                str(error),
                hint="Name a class that extends frappe_tokens.request_log.Sink and is made "
                'without arguments, by its dotted path; or "durable", "buffered" or "null".',
                id="frappe_tokens.E005",
            )
        ]
    return []


def check_middleware(**kwargs: object) -> list[CheckMessage]:
    """W009, W010: requests do not come by the log."""
    listed = list(settings.MIDDLEWARE)
    place = next((place for place, path in enumerate(listed) if logs_requests(path)), None)
    if place is None:
        # Whoever says nothing about the log may want none.
        return [_missing()] if _is_asked_for() else []
    before = [path for path in listed[:place] if path in _ANSWER]
    return [_late(listed[place], before)] if before else []


def check_autocommit(**kwargs: object) -> list[CheckMessage]:
    """W011: nobody commits what the middleware writes."""
    alias = router.db_for_write(ApiRequestLog)
    committed = connections.settings[alias].get("AUTOCOMMIT", True)
    if committed or value_of("REQUEST_LOG") != "durable":
        return []
    if not any(logs_requests(path) for path in settings.MIDDLEWARE):
        return []
    return [
        checks.Warning(
            f"AUTOCOMMIT is False for the database {alias!r}: what the durable request log writes "
            "is never committed.",
            hint="Set FRAPPE_TOKENS['REQUEST_LOG'] to \"buffered\", which commits by itself, or "
            "remove AUTOCOMMIT.",
            id="frappe_tokens.W011",
        )
    ]


def _is_asked_for() -> bool:
    # Where it can be read, the settings are a dictionary, or not there.
    asked_for = value_of("REQUEST_LOG", "null") != "null"
    return asked_for and "REQUEST_LOG" in (getattr(settings, "FRAPPE_TOKENS", None) or {})


def _missing() -> CheckMessage:
    return checks.Warning(
        "FRAPPE_TOKENS['REQUEST_LOG'] is set, but no RequestLogMiddleware is in MIDDLEWARE: no "
        "request is logged.",
        hint=f'Put "{_MIDDLEWARE}" first in MIDDLEWARE. For no log, set REQUEST_LOG to "null".',
        id="frappe_tokens.W009",
    )


def _late(path: str, before: list[str]) -> CheckMessage:
    return checks.Warning(
        f"In MIDDLEWARE, {', '.join(before)} before {path}: what it answers is not in the request "
        "log, or with another status than the one that left.",
        hint=f'Put "{path}" first.',
        id="frappe_tokens.W010",
    )
