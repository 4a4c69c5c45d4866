"""Walks the project's URLconf: which paths without arguments there are, and what answers them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.urls import (
    Resolver404,
    URLPattern,
    URLResolver,
    get_resolver,
    get_script_prefix,
    get_urlconf,
)
from django.utils.regex_helper import normalize

from ..verification import RoutedView


class Endpoint(NamedTuple):
    """A path and the view that answers it.

    Attributes:
        path: with the prefix of the script, if any.
        view: the function, or the result of ``as_view()``.
    """

    path: str
    view: Any

    @property
    def cls(self) -> Any:
        """The class of a view of Django REST framework; None for other views."""
        return getattr(self.view, "cls", None)

    @property
    def accepts_tokens(self) -> bool:
        """Whether it is a view of Django REST framework that answers the scheme ``token``."""
        given = getattr(self.view, "initkwargs", {})
        classes = given.get(
            "authentication_classes", getattr(self.cls, "authentication_classes", None)
        )
        return isinstance(classes, list | tuple) and any(
            getattr(cls, "scheme", "") == "token"
            and any(base.__module__ == "frappe_tokens.authentication" for base in cls.__mro__)
            for cls in classes
        )

    @property
    def lists(self) -> bool:
        """Whether a GET lists rows."""
        actions = getattr(self.view, "actions", None)
        if actions:
            return bool(actions.get("get") == "list")
        return hasattr(self.cls, "get") and hasattr(self.cls, "list")

    @property
    def answers_get(self) -> bool:
        """Whether a GET probably needs no parameters: of a viewset's actions, others often do."""
        return self.lists or (hasattr(self.cls, "get") and not getattr(self.view, "actions", None))

    @property
    def required_scopes(self) -> tuple[str, ...]:
        """The scopes that a GET requires."""
        return RoutedView(self.path, self.view).required_scopes.get("GET", ())


def endpoints() -> Iterator[Endpoint]:
    """Yield the paths that take no arguments, in the order of the URLconf."""
    resolver = get_resolver(get_urlconf())
    prefix = get_script_prefix()
    for path, view in _walk(resolver, ""):
        try:
            answers = resolver.resolve(f"/{path}").func
        except Resolver404:  # such as a path that only another language has
            continue
        # An earlier pattern may match the path too.
        if answers is view:
            yield Endpoint(prefix + path, view)


def _walk(resolver: URLResolver, start: str) -> Iterator[tuple[str, Any]]:
    for pattern in resolver.url_patterns:
        end = _without_arguments(pattern)
        if end is None:
            continue
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern, start + end)
        else:
            yield start + end, pattern.callback


def _without_arguments(pattern: URLPattern | URLResolver) -> str | None:
    """Return the shortest text that ``pattern`` matches; None if it has arguments."""
    # As Django's reverse() reads a pattern, which may have no name.
    regex: str = pattern.pattern.regex.pattern
    candidates = normalize(regex)
    text, arguments = candidates[0] if candidates else ("", ["unknown"])
    return None if arguments or "%" in text else str(text)
