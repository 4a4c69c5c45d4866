"""Declaring on a view what a scoped key has to hold for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial, wraps
from inspect import ismethod
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction, sync_to_async

from . import credentials, verification
from .base_models import AbstractApiKey
from .exceptions import Reason, Refused
from .keys import credential_of

# On the class that @api_view makes of a function which names its scopes.
_BY_DECORATOR = "_frappe_tokens_scopes_by_decorator"

# RFC 6749, section 3.3.
_SCOPE = re.compile(r"[!#-+\--\[\]-~]+")

View = TypeVar("View", bound=Callable[..., Any])


def required_scopes(*scopes: str) -> Callable[[View], View]:
    """Declare the scopes that a scoped key or an access token has to hold, all of them, for a view.

    ::

        @required_scopes("todos:read")
        @api_view(["GET"])
        def todos(request): ...

    It stands on plain functions, sync and async; on DRF's ``@api_view`` functions, above that or
    below; on what ``as_view()`` gives, for that one use of the class; and on classes. To a class,
    a method or an action may need scopes of its own: ``required_scopes = {"post": [...]}``.

    Args:
        scopes: words of printable ASCII without spaces, commas, quotes and backslashes.

    Raises:
        TypeError: it stands on a method or on what declares its scopes already, or without scopes.
        ValueError: one of them is no scope.
    """
    if not scopes:
        raise TypeError('Name the scopes: @required_scopes("todos:read").')
    check_scopes(scopes)

    def declare(view: View) -> View:
        # Two that each name some would look as if both counted.
        if "required_scopes" in vars(view) or hasattr(getattr(view, "cls", None), _BY_DECORATOR):
            raise TypeError(f"{view!r} declares its scopes already. Name all of them in one place.")
        _declare(view, scopes)
        return view

    return declare


def check_scopes(scopes: tuple[Any, ...]) -> None:
    """Raise TypeError or ValueError unless each of ``scopes`` is a scope (RFC 6749, 3.3)."""
    if not all(isinstance(scope, str) for scope in scopes):
        raise TypeError('Name the scopes: @required_scopes("todos:read").')
    for scope in scopes:
        if not _SCOPE.fullmatch(scope):
            raise ValueError(
                f"{scope!r} is no scope: use printable ASCII without spaces, commas, quotes and "
                "\\, and give several scopes as several arguments."
            )


def require_scopes(*scopes: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Close a plain Django view, sync or async, to credentials without ``scopes``.

    ::

        @login_required
        @require_scopes("reports:read")
        def report(request): ...


        @method_decorator(require_scopes("reports:read"), name="dispatch")
        class Report(View): ...

    It declares them, as :func:`required_scopes` does, for the middleware that authenticates; and
    asks again where the view is called, so that one which another view calls, or which another
    package authenticated for, is as safe. What it refuses gets the answer of the middleware.
    A session's user holds no scopes and is not narrowed by them.

    Args:
        scopes: all of them are needed.

    Raises:
        TypeError, ValueError: as :func:`required_scopes`; it does not stand on classes.
    """
    declare = required_scopes(*scopes)

    def close(view: Callable[..., Any]) -> Callable[..., Any]:
        if isinstance(view, type):
            raise TypeError(
                f"{view!r} is a class. Put @required_scopes on it, or @method_decorator("
                'require_scopes(...), name="dispatch").'
            )
        bound = _bound_method(view)
        if iscoroutinefunction(view) or _is_of_async_view(bound):

            @wraps(view)
            async def closed(request: Any, *args: Any, **kwargs: Any) -> Any:
                if refused := _lacking(request, scopes):
                    # Who hears of refusals may ask the database.
                    return await sync_to_async(_refuse)(request, refused)
                return await view(request, *args, **kwargs)

        else:

            @wraps(view)
            def closed(request: Any, *args: Any, **kwargs: Any) -> Any:
                if refused := _lacking(request, scopes):
                    return _refuse(request, refused)
                return view(request, *args, **kwargs)

        # method_decorator has declared it, and makes it anew for each call.
        return closed if bound else declare(closed)

    return close


def _bound_method(view: Any) -> partial[Any] | None:
    """What ``method_decorator`` hands to its decorators when the view is called."""
    while view is not None and not (isinstance(view, partial) and ismethod(view.func)):
        view = getattr(view, "__wrapped__", None)
    return view


def _is_of_async_view(bound: partial[Any] | None) -> bool:
    """Whether it has to be awaited: ``dispatch`` of an async view is no coroutine function."""
    view = getattr(bound and bound.func, "__self__", None)
    return bool(getattr(view, "view_is_async", False))


def _lacking(request: Any, required: tuple[str, ...]) -> Refused | None:
    credential = credential_of(request)
    if credential is None or verification.opens(credential, required):
        return None
    is_key = isinstance(credential, AbstractApiKey)
    return Refused(
        Reason.INSUFFICIENT_SCOPE,
        api_key=credential.api_key if is_key else "",
        required_scopes=required,
        access_token=not is_key,
    )


def _refuse(request: Any, refused: Refused) -> Any:
    credential = credential_of(request)
    key = credential if isinstance(credential, AbstractApiKey) else None
    verification.report_failure(refused, verification.RequestInfo(request), key)
    header = verification.meta_of(request).get("HTTP_AUTHORIZATION")
    sent = credentials.parse_any(header)
    return verification.refusal_response(request, refused, sent.scheme if sent else "token")


def _declare(view: Any, scopes: tuple[str, ...]) -> None:
    if isinstance(view, type):
        # What the class is, nobody knows here; any of them takes an attribute.
        view.required_scopes = scopes  # type: ignore[attr-defined]
        return
    # What as_view() gave makes its instances with these; Django's and DRF's may be two.
    made_with = [getattr(view, name, None) for name in ("view_initkwargs", "initkwargs")]
    if made_with == [None, None]:
        _refuse_method(view)
        # For an @api_view above, which hands on none of the attributes that it does not know.
        view.__doc__ = _Docstring.of(view, scopes)
    for kwargs in made_with:
        if kwargs is not None:
            kwargs["required_scopes"] = scopes
    view.required_scopes = scopes


def _refuse_method(view: Any) -> None:
    outer = getattr(view, "__qualname__", "").rpartition(".")[0]
    if outer and not outer.endswith("<locals>"):
        raise TypeError(
            f"{view!r} is a method, of which the scopes are not read. Declare them on the class by "
            'method or action, required_scopes = {"post": ["todos:write"]}, or of an extra action '
            'of a viewset by @action(..., required_scopes=["todos:write"]).'
        )


class _Docstring(str):
    """A function's docstring, which tells the class that takes it over the function's scopes.

    ``@api_view`` makes a class with the function's docstring in its body, and Python calls
    ``__set_name__`` of what stands in the body of a new class.
    """

    original: str | None
    scopes: tuple[str, ...]

    @classmethod
    def of(cls, view: Any, scopes: tuple[str, ...]) -> _Docstring:
        docstring = cls(view.__doc__ or "")
        docstring.original = view.__doc__
        docstring.scopes = scopes
        return docstring

    def __set_name__(self, owner: Any, name: str) -> None:
        owner.__doc__ = self.original
        owner.required_scopes = self.scopes
        setattr(owner, _BY_DECORATOR, True)
