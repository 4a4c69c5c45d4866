"""Walks the project's URLconf: its paths without arguments, and the views that answer them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import quote

from django.urls import URLPattern, URLResolver, get_resolver, get_script_prefix, get_urlconf
from django.utils.http import escape_leading_slashes
from django.utils.regex_helper import normalize

from ..verification import RoutedView


class Endpoint(NamedTuple):
    """A path and the view of Django REST framework that answers it.

    Attributes:
        path: quoted, with the prefix of the script, if any.
        view: the result of ``as_view()``.
    """

    path: str
    view: Any

    @property
    def cls(self) -> Any:
        """The class of the view."""
        return self.view.cls

    @property
    def accepts_tokens(self) -> bool:
        """Whether the view answers the scheme ``token``."""
        given = getattr(self.view, "initkwargs", {})
        classes = given.get("authentication_classes", self.cls.authentication_classes)
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
        """Whether a GET probably needs no parameters. Other actions of viewsets often do."""
        return self.lists or (hasattr(self.cls, "get") and not getattr(self.view, "actions", None))

    @property
    def required_scopes(self) -> tuple[str, ...]:
        """The scopes that a GET requires."""
        return RoutedView(self.path, self.view).required_scopes.get("GET", ())


def endpoints() -> Iterator[Endpoint]:
    """Yield REST framework's endpoints without arguments, in the order of the URLconf."""
    resolver = get_resolver(get_urlconf())
    prefix = get_script_prefix()
    for path, view in _walk(resolver, ""):
        if not hasattr(getattr(view, "cls", None), "authentication_classes"):
            continue
        answers = None
        # Only another language may have the path, or a converter of the project may fail.
        with suppress(Exception):
            answers = resolver.resolve(f"/{path}").func
        # An earlier pattern may match the path too.
        if answers is view:
            # Quoted as by reverse(). Two slashes at the start would lead to another host.
            quoted = quote(prefix + path, safe="/~:@!$&'()*+,;=")
            yield Endpoint(escape_leading_slashes(quoted), view)


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
    # Parsed as by Django's reverse(), which needs a name.
    regex: str = pattern.pattern.regex.pattern
    candidates = normalize(regex)
    text, arguments = candidates[0] if candidates else ("", ["unknown"])
    return None if arguments or "%" in text else str(text)
