"""Which scopes a view requires, and whether what authenticated a request holds them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from . import policy
from .base_models import AbstractApiKey


class DeclaredBy(NamedTuple):
    """What a view of plain Django declares, looked up where it is asked for.

    Attributes:
        view: what an address leads to: a function, or what ``as_view()`` gave; None for nothing.
        method: the request's.
    """

    view: Any
    method: str

    @property
    def required_scopes(self) -> tuple[str, ...]:
        """All that the function, or the class and its handler of the method, declare together."""
        cls = getattr(self.view, "view_class", None)
        given = getattr(self.view, "view_initkwargs", {})
        # What as_view() was given stands in for the attribute of the class.
        own = _Given(given["required_scopes"]) if "required_scopes" in given else cls
        declared = (
            scope
            for one in (self.view, own, _handler(cls, self.method))
            for scope in policy.required_scopes(one, self.method)
        )
        return tuple(dict.fromkeys(declared))


class _Given(NamedTuple):
    required_scopes: Any


def _handler(cls: Any, method: str) -> Any:
    """The method of ``cls`` that answers: Django answers HEAD by what it has for GET."""
    name = method.lower()
    return getattr(cls, "get" if name == "head" and not hasattr(cls, name) else name, None)


def opens(credential: Any, required: Collection[str]) -> bool:
    """Whether ``credential`` opens what needs all of ``required``.

    Args:
        credential: ``request.auth``, not None: an API key; an OAuth 2 access token, which has
            ``allow_scopes(scopes)`` or the words in ``scope``; anything else opens nothing, as
            nobody says how its scopes are to be read.
        required: the view's scopes. Where it declares none, only a key without scopes opens it.
    """
    if isinstance(credential, AbstractApiKey):
        return policy.scopes_open(credential.scopes, required)
    if not required:
        return False
    allow_scopes = getattr(credential, "allow_scopes", None)
    if callable(allow_scopes):
        return bool(allow_scopes(list(required)))
    scope = getattr(credential, "scope", None)
    return isinstance(scope, str) and set(required) <= set(scope.split())
