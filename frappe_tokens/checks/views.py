"""The authentication classes that a project's DRF views have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from django.conf import settings
from django.urls import get_resolver

DEFAULT = "REST_FRAMEWORK['DEFAULT_AUTHENTICATION_CLASSES']"


class Classes(NamedTuple):
    """Authentication classes in their order.

    Attributes:
        classes: the classes.
        where: what has them, in words.
    """

    classes: tuple[type[Any], ...]
    where: str


def default_classes() -> list[Classes]:
    """Those of the settings; none where DRF is not in use, or where it cannot import them."""
    if not hasattr(settings, "REST_FRAMEWORK"):
        return []
    try:
        from rest_framework.settings import api_settings

        classes: Any = api_settings.DEFAULT_AUTHENTICATION_CLASSES
        return [Classes(_only_classes(classes), DEFAULT)]
    except Exception:
        return []


def all_classes() -> list[Classes]:
    """Those of the settings, and each other order that a view of the URLconf has, once."""
    found = default_classes()
    views: dict[tuple[type[Any], ...], list[str]] = {}
    for view, classes in _views():
        names = views.setdefault(classes, [])
        if view not in names:
            names.append(view)
    known = [listed.classes for listed in found]
    return found + [
        Classes(classes, _in_words(names))
        for classes, names in views.items()
        if classes not in known
    ]


def _only_classes(listed: Iterable[Any]) -> tuple[type[Any], ...]:
    return tuple(cls for cls in listed if isinstance(cls, type))


def _in_words(names: list[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}.authentication_classes{more}"


def _views() -> Iterator[tuple[str, tuple[type[Any], ...]]]:
    """Each view's name and classes."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return
    try:
        # What Django's own check of the URLconf loads too, and where it says what is wrong.
        patterns = list(_patterns(get_resolver()))
    except Exception:
        return
    for pattern in patterns:
        cls: Any = getattr(pattern.callback, "cls", None)
        if not _is_drf_view(cls):
            continue
        # A router's extra action may have others than its class.
        given = getattr(pattern.callback, "initkwargs", None) or {}
        classes = given.get("authentication_classes", getattr(cls, "authentication_classes", None))
        # Some compute theirs by a property.
        if isinstance(classes, list | tuple):
            yield f"{cls.__module__}.{cls.__qualname__}", _only_classes(classes)


def _is_drf_view(cls: Any) -> bool:
    # Known by its name, so that nothing of DRF is imported where it is not in use.
    return isinstance(cls, type) and any(
        base.__module__ == "rest_framework.views" for base in cls.__mro__
    )


def _patterns(resolver: Any) -> Iterator[Any]:
    for pattern in resolver.url_patterns:
        if hasattr(pattern, "url_patterns"):
            yield from _patterns(pattern)
        else:
            yield pattern
