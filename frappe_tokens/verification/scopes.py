"""Which scopes a view declares, and whether a credential holds them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from .. import policy
from ..base_models import AbstractApiKey


class DeclaredScopes(NamedTuple):
    """The scopes that a plain Django view declares, read on demand.

    Attributes:
        view: the view that a path resolves to: a function, or the result of ``as_view()``; None if
            the path resolves to nothing.
        method: the request's method.
    """

    view: Any
    method: str

    @property
    def required_scopes(self) -> tuple[str, ...]:
        """All scopes that the function, or the class and its handler for the method, declare."""
        cls = getattr(self.view, "view_class", None)
        given = getattr(self.view, "view_initkwargs", {})
        # An argument of as_view() replaces the class's attribute.
        of_class = _Given(given["required_scopes"]) if "required_scopes" in given else cls
        declared = (
            scope
            for source in (self.view, of_class, _handler(cls, self.method))
            for scope in policy.required_scopes(source, self.method)
        )
        return tuple(dict.fromkeys(declared))


class _Given(NamedTuple):
    required_scopes: Any


def _handler(cls: Any, method: str) -> Any:
    """Return the method of ``cls`` that answers. Django answers HEAD with the one for GET."""
    name = method.lower()
    return getattr(cls, "get" if name == "head" and not hasattr(cls, name) else name, None)


def opens(credential: Any, required: Collection[str]) -> bool:
    """Whether ``credential`` opens a view that requires all of the scopes ``required``.

    Args:
        credential: ``request.auth``, not None. An API key; or an OAuth 2 access token, which has
            ``allow_scopes(scopes)`` or a string of words in ``scope``. Anything else opens
            nothing, because it's unknown how to read its scopes.
        required: the view's scopes. If it declares none, only a key without scopes opens it.
    """
    if isinstance(credential, AbstractApiKey):
        return credential.opens(required)
    if not required:
        return False
    allow_scopes = getattr(credential, "allow_scopes", None)
    if callable(allow_scopes):
        return bool(allow_scopes(list(required)))
    scope = getattr(credential, "scope", None)
    return isinstance(scope, str) and set(required) <= set(scope.split())
