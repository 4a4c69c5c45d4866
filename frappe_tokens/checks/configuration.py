"""Checks ``FRAPPE_TOKENS`` and ``MIDDLEWARE``."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections, router

from ..addresses import FORWARDED
from ..base_models import AbstractApiKey
from ..conf import Settings, conf
from ..middleware import TokenAuthenticationMiddleware
from ..middleware.installed import logs_requests, misplaced
from ..models import ApiRequestLog
from ..request_log import current_sink

NAMES = sorted(name for name in dir(Settings) if name.isupper())

_REQUEST_LOG = "frappe_tokens.middleware.RequestLogMiddleware"

# They respond instead of later middleware, or change the status of its response.
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


def value_of(name: str, default: Any = None) -> Any:
    """Return a setting; ``default`` if it is invalid, which E001 and E003 report."""
    try:
        return getattr(conf, name)
    except Exception:
        return default


def check_settings(**kwargs: object) -> Iterator[CheckMessage]:
    """E001, E002, E003: not a dictionary, an unknown setting, an invalid value."""
    own = getattr(settings, "FRAPPE_TOKENS", None)
    if own is not None and not isinstance(own, Mapping):
        yield checks.Error(
            f"FRAPPE_TOKENS is of type {type(own).__name__}.",
            hint='Make it a dictionary, such as FRAPPE_TOKENS = {"REALM": "api"}, or remove '
            "it: every setting has a default.",
            id="frappe_tokens.E001",
        )
        return
    for name in own or ():
        if name not in NAMES:
            near = difflib.get_close_matches(str(name).upper(), NAMES, n=1)
            every = f"The settings are: {', '.join(NAMES)}."
            yield checks.Error(
                f"FRAPPE_TOKENS has the unknown setting {name!r}.",
                hint=f"Did you mean {near[0]!r}?" if near else every,
                id="frappe_tokens.E002",
            )
    for name in NAMES:
        try:
            getattr(conf, name)
            continue
        except DatabaseError:
            # The toolkit's scopes, if a project keeps them in a table. "migrate", which makes it,
            # runs the checks first.
            continue
        except ImproperlyConfigured as error:
            message = str(error)
        except Exception as error:
            # Not its message, which may contain the value.
            message = f"FRAPPE_TOKENS[{name!r}] can't be read: {type(error).__name__}."
        meaning = getattr(Settings, name).__doc__
        yield checks.Error(
            message, hint=f"Its meaning and default: {meaning}", id="frappe_tokens.E003"
        )


def check_client_address(**kwargs: object) -> Iterator[CheckMessage]:
    """W015: ``CLIENT_ADDRESS_HEADER`` isn't read."""
    header = value_of("CLIENT_ADDRESS_HEADER", "invalid")
    if header.lower() == FORWARDED and value_of("NUM_PROXIES", "invalid") is None:
        yield checks.Warning(
            f"FRAPPE_TOKENS['CLIENT_ADDRESS_HEADER'] is {header!r}, but NUM_PROXIES is not set: "
            "the header is not read.",
            hint="Set NUM_PROXIES to the number of proxies before the app that append to it, or "
            "to 0 if there are none.",
            id="frappe_tokens.W015",
        )


def check_sources(**kwargs: object) -> Iterator[CheckMessage]:
    """E004: a source is not a model of keys."""
    for name, label in value_of("SOURCES", {}).items():
        if _source_model(name, label) is None:
            yield checks.Error(
                f"FRAPPE_TOKENS['SOURCES'][{name!r}] is {label!r}, which is not a model of keys.",
                hint="Map each name, a string, to a concrete model that extends "
                'frappe_tokens.base_models.AbstractApiKey, such as "Event Consumer": '
                '"events.EventConsumer".',
                id="frappe_tokens.E004",
            )


def check_sink(**kwargs: object) -> Iterator[CheckMessage]:
    """E005: the sink that ``REQUEST_LOG`` names can't be used."""
    if value_of("REQUEST_LOG") is None:
        return
    try:
        current_sink()
    except ImproperlyConfigured as error:
        yield checks.Error(
            str(error),
            hint="Set it to the dotted path of a class that extends frappe_tokens.request_log.Sink "
            'and is created without arguments, or to "durable", "buffered" or "null".',
            id="frappe_tokens.E005",
        )


def check_authentication(**kwargs: object) -> Iterator[CheckMessage]:
    """E006: a later middleware would replace the header's user."""
    for name in misplaced(settings.MIDDLEWARE, TokenAuthenticationMiddleware):
        yield checks.Error(
            f"In MIDDLEWARE, {name} comes after TokenAuthenticationMiddleware.",
            hint="Put frappe_tokens.middleware.TokenAuthenticationMiddleware right after "
            "django.contrib.auth.middleware.AuthenticationMiddleware. Until then, the server "
            "doesn't start.",
            id="frappe_tokens.E006",
        )


def check_request_log(**kwargs: object) -> Iterator[CheckMessage]:
    """W009, W010: requests don't reach the log."""
    paths = list(settings.MIDDLEWARE)
    place = next((place for place, path in enumerate(paths) if logs_requests(path)), None)
    if place is None:
        # Without the setting, a project may not want a log.
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


def source_models() -> list[type[AbstractApiKey]]:
    """Return the models of all valid sources."""
    found = [_source_model(*source) for source in value_of("SOURCES", {}).items()]
    return [model for model in found if model is not None]


def _source_model(name: object, label: Any) -> type[AbstractApiKey] | None:
    try:
        model = apps.get_model(label)
    except Exception:  # also for an abstract model
        return None
    return model if issubclass(model, AbstractApiKey) and isinstance(name, str) else None
