"""Checks that credentials reach our authentication classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage
from django.http import HttpRequest
from django.urls import get_resolver

from ..verification import are_known, ninja_operations, routed_views

Classes = tuple[type[Any], ...]

# Prefixes of names, because DRF and Django Ninja must not be imported where they aren't used.
_OURS = "frappe_tokens.authentication."
_BEARER = "frappe_tokens.authentication.BearerAuthentication"
_SESSION = "rest_framework.authentication.SessionAuthentication"
_VIEWS = "rest_framework.views."
_OURS_FOR_NINJA = "frappe_tokens.contrib.ninja."
_COOKIE = "ninja.security.apikey.APIKeyCookie"
# It accepts only its own tokens, which ours may check too, and ignores all others.
_TOOLKIT = "oauth2_provider.contrib.rest_framework.authentication.OAuth2Authentication"


def check_order(**kwargs: object) -> Iterator[CheckMessage]:
    """W001, W002: another class comes before ours and answers instead."""
    orders = _default_classes()
    # Django's check of the URLconf reports a broken one.
    with suppress(Exception):
        for _route, view in routed_views(get_resolver()):
            for name, classes in _rest_classes(view):
                orders.setdefault(classes, f"{name}.authentication_classes")
    for classes, where in orders.items():
        for place, cls in enumerate(classes):
            if _extends(cls, _OURS):
                yield from _check_rivals(cls, classes[:place], where)
            elif _extends(cls, _SESSION) and any(_extends(it, _OURS) for it in classes[place:]):
                yield checks.Warning(
                    f"In {where}, {_name(cls)} comes before the classes for API keys: a request "
                    "with a key and an active session runs as the session's user.",
                    hint=f"Put {_name(cls)} last, so that the header decides.",
                    id="frappe_tokens.W002",
                )


def check_ninja(**kwargs: object) -> Iterator[CheckMessage]:
    """W014: in ``auth`` of Django Ninja, a class that reads a cookie comes before ours."""
    # One warning for all operations that have the order of their API or router.
    orders: dict[tuple[Any, ...], str] = {}
    with suppress(Exception):
        for _route, view in routed_views(get_resolver()):
            for operation in ninja_operations(view):
                api, callbacks = operation.api, list(operation.auth_callbacks)
                where = _name(operation.view_func)
                if is_apis := isinstance(api.auth, Sequence) and callbacks == list(api.auth):
                    where = f"NinjaAPI {api.urls_namespace!r}"
                orders.setdefault((api, is_apis, *map(type, callbacks)), where)
    for (_api, _is_apis, *classes), where in orders.items():
        place = next((n for n, cls in enumerate(classes) if _extends(cls, _OURS_FOR_NINJA)), 0)
        if earlier := [_name(cls) for cls in classes[:place] if _extends(cls, _COOKIE)]:
            own = _name(classes[place])
            yield checks.Warning(
                f"In auth of {where}, {', '.join(earlier)} comes before {own}: a request with a "
                "key and a cookie runs as the cookie's user, and a POST with a key fails the CSRF "
                "check.",
                hint=f"Put {own} before it, so that the header decides. Requests without a key "
                "still reach the next item.",
                id="frappe_tokens.W014",
            )


def check_oauth2(**kwargs: object) -> Iterator[CheckMessage]:
    """I001: no class accepts OAuth 2 access tokens. Most projects don't need one."""
    if apps.is_installed("oauth2_provider"):
        return
    for classes, where in _default_classes().items():
        bearers = [cls for cls in classes if _scheme(cls) == "bearer"]
        if bearers and _extends(bearers[-1], _BEARER):
            yield checks.Info(
                f"{where} has BearerAuthentication and no class that knows opaque tokens: a "
                "request with an OAuth 2 access token gets 401. API keys work.",
                hint="For OAuth 2, install frappe-tokens[oauth] and add oauth2_provider to "
                "INSTALLED_APPS. Otherwise leave this as it is and add frappe_tokens.I001 to "
                "SILENCED_SYSTEM_CHECKS.",
                id="frappe_tokens.I001",
            )


def _check_rivals(ours: type[Any], earlier: Classes, where: str) -> Iterator[CheckMessage]:
    """W001: classes that come before ours and read the same scheme."""
    own, scheme = _name(ours), _scheme(ours)
    for cls in earlier:
        if _extends(cls, _OURS) or _scheme(cls) != scheme:
            continue
        why = f'both answer the scheme "{scheme}", and the first one refuses API keys.'
        hint = f"Put {own} first. It leaves anything other than an API key to the next class."
        if _extends(cls, _TOOLKIT):
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


def _name(cls: type[object]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _extends(cls: type[object], start: str) -> bool:
    """Whether the name of ``cls``, or of a class that it extends, starts like this."""
    return any(_name(base).startswith(start) for base in getattr(cls, "__mro__", ()))


def _scheme(cls: type[Any]) -> str:
    """Return the scheme of a class's challenge; "" if it reads no header."""
    from rest_framework.request import Request

    try:
        challenge = cls().authenticate_header(Request(HttpRequest())) or ""
        return str(challenge.partition(" ")[0].lower())
    except Exception:
        return ""


def _default_classes() -> dict[Classes, str]:
    """Return those of the settings; none if DRF isn't used or can't import them."""
    if hasattr(settings, "REST_FRAMEWORK"):
        with suppress(Exception):
            from rest_framework.settings import api_settings

            classes: Any = api_settings.DEFAULT_AUTHENTICATION_CLASSES
            return {tuple(classes): "REST_FRAMEWORK['DEFAULT_AUTHENTICATION_CLASSES']"}
    return {}


def _rest_classes(view: object) -> Iterator[tuple[str, Classes]]:
    """Yield the name and the classes of a DRF view; nothing for other views."""
    cls = getattr(view, "cls", None)
    if isinstance(cls, type) and _extends(cls, _VIEWS):
        # A router's extra action may have other classes than its viewset.
        own = getattr(cls, "authentication_classes", None)
        given = getattr(view, "initkwargs", None) or {}
        classes = given.get("authentication_classes", own)
        if isinstance(classes, list | tuple):  # and not a property
            yield _name(cls), tuple(classes)
