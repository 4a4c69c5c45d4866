"""Which scopes a view declares, and whether a credential has them."""

from __future__ import annotations

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

from .. import policy
from ..base_models import AbstractApiKey
from ..conf import conf


def view_scopes(view: Any, method: str) -> tuple[str, ...]:
    """Return all scopes that a view declares: itself, by its class, and by the class's handler.

    The view is a function, the result of ``as_view()``, any object with ``required_scopes``, or
    None.
    """
    cls: Any = getattr(view, "view_class", None)
    name = method.lower()
    if name == "head" and not hasattr(cls, name):
        name = "get"  # as Django does
    # An argument of as_view() replaces the class's attribute.
    given = getattr(view, "view_initkwargs", {})
    of_class = cls
    if "required_scopes" in given:
        of_class = SimpleNamespace(required_scopes=given["required_scopes"])
    sources = (view, of_class, getattr(cls, name, None))
    declared = (scope for each in sources for scope in policy.required_scopes(each, method))
    return tuple(dict.fromkeys(declared))


def opens(credential: Any, required: Collection[str]) -> bool:
    """Whether ``credential`` opens a view that requires all of the scopes ``required``.

    Args:
        credential: ``request.auth``, not None. An API key; or an OAuth 2 access token, which has
            ``allow_scopes(scopes)`` or a string of words in ``scope``. Anything else opens
            nothing, because it's unknown how to read its scopes.
        required: the view's scopes. If it declares none, only a key without scopes opens it, and
            a credential with ``ALL_SCOPE``.
    """
    if isinstance(credential, AbstractApiKey):
        return credential.opens(required)
    allow_scopes = getattr(credential, "allow_scopes", None)
    if callable(allow_scopes):
        everything = conf.ALL_SCOPE
        return bool(required and allow_scopes(list(required))) or bool(
            everything and allow_scopes([everything])
        )
    scope = getattr(credential, "scope", None)
    return isinstance(scope, str) and policy.open_view(scope.split(), required)
