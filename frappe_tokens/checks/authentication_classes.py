"""Whether credentials reach our authentication classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage
from django.http import HttpRequest
from django.urls import URLPattern, URLResolver, get_resolver

from ..verification import are_known

Classes = tuple[type[Any], ...]

# It answers only tokens that it knows, which may be ours to check, and passes over all others.
_TOOLKIT = "oauth2_provider.contrib.rest_framework.authentication.OAuth2Authentication"


def check_order(**kwargs: object) -> Iterator[CheckMessage]:
    """W001, W002: another class comes before ours and answers instead."""
    orders = _default_classes()
    views: dict[Classes, list[str]] = {}
    for view, classes in _views():
        if view not in views.setdefault(classes, []):
            views[classes].append(view)
    for classes, names in views.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        orders.setdefault(classes, f"{names[0]}.authentication_classes{more}")
    for classes, where in orders.items():
        yield from _check_classes(classes, where)


def check_oauth2(**kwargs: object) -> Iterator[CheckMessage]:
    """I001: no class knows OAuth 2 access tokens. Most projects don't need one."""
    if apps.is_installed("oauth2_provider"):
        return
    for classes, where in _default_classes().items():
        from ..authentication import BearerAuthentication

        *_, last = [cls for cls in classes if _scheme(cls) == "bearer"] or [object]
        if issubclass(last, BearerAuthentication):
            yield checks.Info(
                f"{where} has BearerAuthentication and no class that knows opaque tokens: a "
                "request with an OAuth 2 access token gets 401. API keys work.",
                hint="For OAuth 2, install frappe-tokens[oauth] and add oauth2_provider to "
                "INSTALLED_APPS. Otherwise leave this as it is and add frappe_tokens.I001 to "
                "SILENCED_SYSTEM_CHECKS.",
                id="frappe_tokens.I001",
            )


def _check_classes(classes: Classes, where: str) -> Iterator[CheckMessage]:
    from rest_framework.authentication import SessionAuthentication

    ours = [place for place, cls in enumerate(classes) if _is_ours(cls)]
    for place in ours:
        own, scheme = _name(classes[place]), _scheme(classes[place])
        for cls in classes[:place]:
            if _is_ours(cls) or _scheme(cls) != scheme:
                continue
            why = f'both answer the scheme "{scheme}", and the first one refuses API keys.'
            hint = f"Put {own} first. It leaves anything other than an API key to the next class."
            if any(_name(base) == _TOOLKIT for base in cls.__mro__):
                if not are_known():
                    continue
                why = (
                    "both accept the same access tokens, and the first one checks neither whether "
                    "their user is active nor whether they are read-only."
                )
                hint = f"Remove {_name(cls)}. {own} accepts its tokens."
            yield checks.Warning(
                f"In {where}, {_name(cls)} comes before {own}: {why}",
                hint=hint,
                id="frappe_tokens.W001",
            )
    for place, cls in enumerate(classes):
        if issubclass(cls, SessionAuthentication) and any(place < later for later in ours):
            yield checks.Warning(
                f"In {where}, {_name(cls)} comes before the classes for API keys: a request with a "
                "key and an active session runs as the session's user.",
                hint=f"Put {_name(cls)} last, so that the header decides.",
                id="frappe_tokens.W002",
            )


def _is_ours(cls: type[object]) -> bool:
    from ..authentication import BasicAuthentication, BearerAuthentication, TokenAuthentication

    return issubclass(cls, TokenAuthentication | BasicAuthentication | BearerAuthentication)


def _scheme(cls: type[Any]) -> str:
    """Return the scheme of a class's challenge; "" if it reads no header."""
    from rest_framework.request import Request

    try:
        challenge = cls().authenticate_header(Request(HttpRequest())) or ""
        return str(challenge.partition(" ")[0].lower())
    except Exception:
        return ""


def _name(cls: type[object]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _default_classes() -> dict[Classes, str]:
    """Return those of the settings; none if DRF isn't used, or can't import them."""
    if not hasattr(settings, "REST_FRAMEWORK"):
        return {}
    try:
        from rest_framework.settings import api_settings

        classes = _only_classes(api_settings.DEFAULT_AUTHENTICATION_CLASSES)
    except Exception:
        return {}
    return {classes: "REST_FRAMEWORK['DEFAULT_AUTHENTICATION_CLASSES']"}


def _only_classes(listed: Iterable[object]) -> Classes:
    return tuple(cls for cls in listed if isinstance(cls, type))


def _views() -> Iterator[tuple[str, Classes]]:
    """Yield the name and the classes of each DRF view in the URLconf."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return
    try:
        patterns = list(_patterns(get_resolver()))
    except Exception:  # Django's check of the URLconf reports it
        return
    for pattern in patterns:
        cls = getattr(pattern.callback, "cls", None)
        # By its name, to import nothing of DRF where it isn't used.
        if not isinstance(cls, type) or not any(
            base.__module__ == "rest_framework.views" for base in cls.__mro__
        ):
            continue
        # A router's extra action may have other classes than its viewset.
        given = getattr(pattern.callback, "initkwargs", None) or {}
        classes = given.get("authentication_classes", getattr(cls, "authentication_classes", None))
        if isinstance(classes, list | tuple):  # and not a property
            yield _name(cls), _only_classes(classes)


def _patterns(resolver: URLResolver) -> Iterator[URLPattern]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from _patterns(pattern)
        else:
            yield pattern
