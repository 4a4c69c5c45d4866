"""Whether credentials reach our authentication classes, and somebody knows them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core import checks
from django.core.checks import CheckMessage
from django.http import HttpRequest

from ..verification import are_known
from . import views
from .views import Classes

# It answers only to tokens that it knows, which may be ours to judge, and passes over all others.
_TOOLKITS = "oauth2_provider.contrib.rest_framework.authentication.OAuth2Authentication"

_REFUSES = 'both answer the scheme "{scheme}", and the first one refuses the API keys.'
_PUT_FIRST = "Put {ours} first. It leaves what is no API key to the class behind it."
_TAKES = (
    "both take the same access tokens, and the first one asks neither whether their user is active "
    "nor whether they may only read."
)
_DROP = "Drop {other}. {ours} takes its tokens."


def check_order(**kwargs: object) -> list[CheckMessage]:
    """W001, W002: another class stands before ours and answers in its place."""
    return [message for listed in views.all_classes() for message in _wrong_order(listed)]


def check_oauth2(**kwargs: object) -> list[CheckMessage]:
    """I001: nobody knows OAuth 2 access tokens. Most projects want none, and hear of it rarely."""
    if apps.is_installed("oauth2_provider"):
        return []
    for classes, where in views.default_classes():
        from ..authentication import BearerAuthentication

        *_, last = [cls for cls in classes if _scheme(cls) == "bearer"] or [object]
        if issubclass(last, BearerAuthentication):
            return [
                checks.Info(
                    f"{where} has BearerAuthentication and no class that knows opaque tokens: a "
                    "request with an OAuth 2 access token gets 401. API keys work.",
                    hint="For OAuth 2, install frappe-tokens[oauth] and add oauth2_provider to "
                    "INSTALLED_APPS. Without it, leave this as it is and add frappe_tokens.I001 "
                    "to SILENCED_SYSTEM_CHECKS.",
                    id="frappe_tokens.I001",
                )
            ]
    return []


def _wrong_order(listed: Classes) -> Iterator[CheckMessage]:
    from rest_framework.authentication import SessionAuthentication

    classes = listed.classes
    ours = [place for place, cls in enumerate(classes) if _is_ours(cls)]
    for place in ours:
        scheme = _scheme(classes[place])
        for other in classes[:place]:
            if _is_ours(other) or _scheme(other) != scheme:
                continue
            why, hint = _REFUSES, _PUT_FIRST
            if _is_toolkits(other):
                if not are_known():
                    continue
                why, hint = _TAKES, _DROP
            names = {"ours": _name(classes[place]), "other": _name(other), "scheme": scheme}
            yield checks.Warning(
                f"In {listed.where}, {names['other']} stands before {names['ours']}: "
                + why.format(**names),
                hint=hint.format(**names),
                id="frappe_tokens.W001",
            )
    for place, cls in enumerate(classes):
        if issubclass(cls, SessionAuthentication) and any(place < later for later in ours):
            yield checks.Warning(
                f"In {listed.where}, {_name(cls)} stands before the classes that read API keys: "
                "a request with a key and a live session runs as the session's user.",
                hint=f"Put {_name(cls)} last. Then the header decides.",
                id="frappe_tokens.W002",
            )


def _is_ours(cls: type[object]) -> bool:
    from ..authentication import BasicAuthentication, BearerAuthentication, TokenAuthentication

    return issubclass(cls, TokenAuthentication | BasicAuthentication | BearerAuthentication)


def _scheme(cls: Any) -> str:
    """The scheme that a class names in its challenge; "" for one that reads no header."""
    from rest_framework.request import Request

    try:
        challenge = cls().authenticate_header(Request(HttpRequest())) or ""
        return str(challenge.partition(" ")[0].lower())
    except Exception:
        return ""


def _is_toolkits(cls: type[object]) -> bool:
    return any(_name(base) == _TOOLKITS for base in cls.__mro__)


def _name(cls: type[object]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
