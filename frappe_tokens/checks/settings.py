"""Whether ``FRAPPE_TOKENS`` can be understood."""

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

# Each is documented by its property.
NAMES = sorted(
    name for name, value in vars(Settings).items() if isinstance(value, property) and name.isupper()
)


def value_of(name: str, default: Any = None) -> Any:
    """A setting, or ``default`` where it is wrong, which E001 and E003 say."""
    try:
        return getattr(conf, name)
    except Exception:
        return default


def check_settings(**kwargs: object) -> list[CheckMessage]:
    """E001, E002, E003."""
    own = getattr(settings, "FRAPPE_TOKENS", None)
    if own is not None and not isinstance(own, Mapping):
        return [
            Error(
                f"FRAPPE_TOKENS is of type {type(own).__name__}.",
                hint='Make it a dictionary, such as FRAPPE_TOKENS = {"REALM": "api"}, or remove '
                "it: every setting has a default.",
                id="frappe_tokens.E001",
            )
        ]
    unknown = (name for name in own or () if name not in NAMES)
    return [*map(_unknown, unknown), *_wrong()]


def check_sources(**kwargs: object) -> list[CheckMessage]:
    """E004."""
    return [
        Error(
            f"FRAPPE_TOKENS['SOURCES'][{name!r}] {problem}.",
            hint="Name a concrete model that extends frappe_tokens.base_models.AbstractApiKey, "
            'such as "Event Consumer": "events.EventConsumer".',
            id="frappe_tokens.E004",
        )
        for name, label in value_of("SOURCES", {}).items()
        if (problem := _problem_of_source(name, label))
    ]


def source_models() -> Iterator[type[AbstractApiKey]]:
    """The models of all sources that can be used."""
    for name, label in value_of("SOURCES", {}).items():
        if not _problem_of_source(name, label):
            yield apps.get_model(label)


def _unknown(name: Any) -> CheckMessage:
    near = difflib.get_close_matches(str(name).upper(), NAMES, n=1)
    return Error(
        f"FRAPPE_TOKENS has the unknown setting {name!r}.",
        hint=f"Did you mean {near[0]!r}?" if near else f"The settings are: {', '.join(NAMES)}.",
        id="frappe_tokens.E002",
    )


def _wrong() -> Iterator[CheckMessage]:
    for name in NAMES:
        try:
            getattr(conf, name)
        except ImproperlyConfigured as error:
            message = str(error)
        except Exception as error:
            # Not its words: nobody has seen to it that they hold no value.
            message = f"FRAPPE_TOKENS[{name!r}] cannot be read: {type(error).__name__}."
        else:
            continue
        meaning = getattr(Settings, name).__doc__
        yield Error(message, hint=f"Its meaning and default: {meaning}", id="frappe_tokens.E003")


def _problem_of_source(name: Any, label: Any) -> str:
    if not isinstance(name, str):
        return "is not named by a string, so no header can name it"
    if not isinstance(label, str) or label.count(".") != 1:
        return f'is {label!r}, and not "app_label.ModelName"'
    try:
        model = apps.get_model(label)
    except LookupError as error:
        # An abstract model is none that Django knows of.
        return f"is {label!r}, which is no model: {str(error).rstrip('.')}"
    if not issubclass(model, AbstractApiKey):
        return f"is {label!r}, which does not extend AbstractApiKey"
    return ""
