"""The views of a URLconf, and the scopes that each requires."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

from django.urls import URLResolver
from django.views import View

from .. import policy
from .scopes import view_scopes


class RoutedView(NamedTuple):
    """A view with the route that leads to it, such as ``api/keys/<api_key>/``."""

    route: str
    view: Any

    @property
    def name(self) -> str:
        """The dotted path of the view, or of its class."""
        # REST framework gives the function of a viewset the names of the class.
        return _dotted_path(getattr(self.view, "view_class", self.view))

    @property
    def required_scopes(self) -> dict[str, tuple[str, ...]]:
        """The scopes by method, for the methods that require any.

        A method is in upper case, and "" for a function, which may answer all methods.
        """
        return {method: scopes for _, method, scopes in self.requirements()}

    def requirements(self) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """Yield the dotted path, the method and the scopes of whatever requires any.

        A view of Django Ninja consists of several functions.
        """
        for method in _methods(self.view):
            if scopes := _required(self.view, method):
                yield self.name, method, scopes
        for operation in ninja_operations(self.view):
            scopes = tuple(
                scope
                for callback in operation.auth_callbacks
                for scope in policy.required_scopes(callback, "")
            )
            if scopes:
                name = _dotted_path(operation.view_func)
                yield from ((name, method, scopes) for method in operation.methods)


def routed_views(resolver: URLResolver, prefix: str = "") -> Iterator[RoutedView]:
    """Yield all views of ``resolver``, in the order of their routes."""
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routed_views(pattern, route)
        else:
            yield RoutedView(route, pattern.callback)


def ninja_operations(view: object) -> Iterable[Any]:
    """Return the operations of Django Ninja that ``view`` consists of; none for other views."""
    if not callable(view):  # None, where no path matches
        return ()
    inner = inspect.unwrap(view)
    if inner.__module__ != "ninja.operation":
        return ()
    # Nothing public leads from a view to its operations. It is a method of the PathView that has
    # them (Ninja 1.4), or a function that refers to it. If neither, the middleware decides.
    path_view = getattr(inner, "__self__", None)
    if inspect.isfunction(inner):
        path_view = inspect.getclosurevars(inner).nonlocals.get("self")
    operations: Iterable[Any] = getattr(path_view, "operations", ())
    return operations


def _dotted_path(view: Any) -> str:
    named = view if hasattr(view, "__name__") else type(view)
    return f"{named.__module__}.{named.__name__}"


def _methods(view: Any) -> list[str]:
    """Return the methods that ``view`` has a handler for; "" alone for a function."""
    cls = getattr(view, "cls", None) or getattr(view, "view_class", None)
    if cls is None:
        return [""]
    names = getattr(view, "actions", None) or [
        name
        for name in getattr(cls, "http_method_names", ())
        if name != "options" and hasattr(cls, name)
    ]
    # In Django's order: those of @api_view have none.
    return [name.upper() for name in View.http_method_names if name in names]


def _required(view: Any, method: str) -> tuple[str, ...]:
    """Return the scopes that ``view`` declares; none if only a request knows them."""
    try:
        scopes = _declared(view, method)
    except TypeError:  # such as a property
        return ()
    return scopes if all(isinstance(scope, str) for scope in scopes) else ()


def _declared(view: Any, method: str) -> tuple[str, ...]:
    cls = getattr(view, "cls", None)
    if cls is None:
        return view_scopes(view, method)
    # As the instance of Django REST framework's class that answers.
    given = getattr(view, "initkwargs", {})
    action = (getattr(view, "actions", None) or {}).get(method.lower())
    scopes = given.get("required_scopes", getattr(cls, "required_scopes", None))
    return policy.required_scopes(SimpleNamespace(required_scopes=scopes, action=action), method)
