"""Whether ``FRAPPE_TOKENS`` is valid."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from ..base_models import AbstractApiKey
from ..conf import Settings, conf
from ..request_log import current_sink

# Each is documented by its property.
NAMES = sorted(name for name in vars(Settings) if name.isupper())


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
        yield Error(
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
            yield Error(
                f"FRAPPE_TOKENS has the unknown setting {name!r}.",
                hint=f"Did you mean {near[0]!r}?" if near else every,
                id="frappe_tokens.E002",
            )
    for name in NAMES:
        try:
            getattr(conf, name)
            continue
        except ImproperlyConfigured as error:
            message = str(error)
        except Exception as error:
            # Not its message, which may contain the value.
            message = f"FRAPPE_TOKENS[{name!r}] can't be read: {type(error).__name__}."
        meaning = getattr(Settings, name).__doc__
        yield Error(message, hint=f"Its meaning and default: {meaning}", id="frappe_tokens.E003")


def check_sources(**kwargs: object) -> Iterator[CheckMessage]:
    """E004: a source is not a model of keys."""
    for name, label in value_of("SOURCES", {}).items():
        if problem := _problem_of_source(name, label):
            yield Error(
                f"FRAPPE_TOKENS['SOURCES'][{name!r}] {problem}.",
                hint="Name a concrete model that extends frappe_tokens.base_models.AbstractApiKey, "
                'such as "Event Consumer": "events.EventConsumer".',
                id="frappe_tokens.E004",
            )


def check_sink(**kwargs: object) -> Iterator[CheckMessage]:
    """E005: the sink that ``REQUEST_LOG`` names can't be used."""
    if value_of("REQUEST_LOG") is None:
        return
    try:
        current_sink()
    except ImproperlyConfigured as error:
        yield Error(
            str(error),
            hint="Name a class that extends frappe_tokens.request_log.Sink and is created "
            'without arguments, by its dotted path; or "durable", "buffered" or "null".',
            id="frappe_tokens.E005",
        )


def source_models() -> Iterator[type[AbstractApiKey]]:
    """Yield the models of all valid sources."""
    for name, label in value_of("SOURCES", {}).items():
        if not _problem_of_source(name, label):
            yield apps.get_model(label)


def _problem_of_source(name: object, label: object) -> str:
    if not isinstance(name, str):
        return "is not named by a string, so no header can name it"
    if not isinstance(label, str) or label.count(".") != 1:
        return f'is {label!r}, and not "app_label.ModelName"'
    try:
        model = apps.get_model(label)
    except LookupError as error:  # also for an abstract model
        return f"is {label!r}, which is not a model: {str(error).rstrip('.')}"
    if not issubclass(model, AbstractApiKey):
        return f"is {label!r}, which does not extend AbstractApiKey"
    return ""
