"""Declares which scopes a view requires."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from inspect import ismethod
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse

from . import credentials, verification
from .base_models import AbstractApiKey
from .conf import SCOPE
from .exceptions import Reason, Refused
from .keys import credential_of

View = TypeVar("View", bound=Callable[..., Any])


def require_scopes(*scopes: str) -> Callable[[View], View]:
    """Declare the scopes that a scoped key or an access token must hold, all of them, for a view.

    ::

        @require_scopes("todos:read")
        @api_view(["GET"])
        def todos(request): ...


        @login_required
        @require_scopes("reports:read")
        def report(request): ...


        @require_scopes("reports:read")
        class Report(View): ...

    It works on functions, sync and async; above DRF's ``@api_view``; on the result of
    ``as_view()``, for that one use of the class; on classes; and by ``method_decorator`` on methods
    of Django's class-based views. For scopes by method or action, set an attribute of the class:
    ``required_scopes = {"post": ["todos:write"]}``.

    The authentication class or the middleware enforces it. On a plain Django view other than a
    class, each call does too, in case another view calls it or another package authenticates. A
    session isn't restricted by scopes.

    Args:
        scopes: printable ASCII characters without spaces, commas, quotes and backslashes.

    Raises:
        TypeError: there are no scopes, or the view is a method or declares its scopes already.
        ValueError: one of them is not a valid scope.
    """
    if not scopes:
        raise TypeError('Pass the scopes: @require_scopes("todos:read").')
    check_scopes(scopes)

    def decorate(view: Any) -> Any:
        # Two declarations would seem to add up. Those of method_decorator, as on a class and its
        # subclass, do: each call enforces both.
        if "required_scopes" in vars(view) and _bound_method(view) is None:
            raise TypeError(f"{view!r} already declares scopes. Declare all of them in one place.")
        if not isinstance(view, type) and not hasattr(view, "cls"):  # not DRF's
            view = _enforcing(view, scopes)
        # The result of as_view() creates its instances with these arguments.
        for name in ("view_initkwargs", "initkwargs"):
            if hasattr(view, name):
                getattr(view, name)["required_scopes"] = scopes
        view.required_scopes = scopes
        return view

    return decorate


def check_scopes(scopes: tuple[str, ...]) -> None:
    """Raise TypeError or ValueError unless each of ``scopes`` is valid (RFC 6749, 3.3)."""
    for scope in scopes:
        if not isinstance(scope, str):
            raise TypeError('Pass the scopes: @require_scopes("todos:read").')
        if not SCOPE.fullmatch(scope):
            raise ValueError(
                f"{scope!r} is not a valid scope. Use printable ASCII characters without spaces, "
                "commas, quotes and backslashes. Pass several scopes as several arguments."
            )


def _enforcing(view: Any, scopes: tuple[str, ...]) -> Any:
    """Wrap ``view`` in a function that refuses credentials without ``scopes``."""
    bound = _bound_method(view)
    if bound is None and not hasattr(view, "view_class"):
        _refuse_method(view)
    # ``dispatch`` of an async view isn't a coroutine function.
    instance = getattr(bound and bound.func, "__self__", None)
    if iscoroutinefunction(view) or getattr(instance, "view_is_async", False):

        @wraps(view)
        async def enforcing(request: Any, *args: Any, **kwargs: Any) -> Any:
            if _opens(request, view, scopes):
                return await view(request, *args, **kwargs)
            # Receivers of the signal may query the database.
            return await sync_to_async(_refuse)(request, scopes)

    else:

        @wraps(view)
        def enforcing(request: Any, *args: Any, **kwargs: Any) -> Any:
            if _opens(request, view, scopes):
                return view(request, *args, **kwargs)
            return _refuse(request, scopes)

    return enforcing


def _bound_method(view: Any) -> partial[Any] | None:
    """Return the partial that ``method_decorator`` passes to its decorators for each call."""
    while view is not None and not (isinstance(view, partial) and ismethod(view.func)):
        view = getattr(view, "__wrapped__", None)
    return view


def _refuse_method(view: Any) -> None:
    outer = getattr(view, "__qualname__", "").rpartition(".")[0]
    if outer and not outer.endswith("<locals>"):
        raise TypeError(
            f'{view!r} is a method. On a class of DRF, set required_scopes = {{"post": '
            '["todos:write"]}, or @action(..., required_scopes=["todos:write"]). On a Django view, '
            "use @method_decorator(require_scopes(...))."
        )


def _opens(request: Any, view: Any, scopes: tuple[str, ...]) -> bool:
    # @api_view turns a function into a class with its name, but without its scopes.
    of_view = type((getattr(request, "parser_context", None) or {}).get("view"))
    name = getattr(view, "__name__", None)
    if (of_view.__name__, of_view.__module__) == (name, getattr(view, "__module__", None)):
        raise ImproperlyConfigured("Put @require_scopes above @api_view, not below it.")
    credential = credential_of(request)
    return credential is None or verification.opens(credential, scopes)


def _refuse(request: Any, scopes: tuple[str, ...]) -> HttpResponse:
    credential = credential_of(request)
    key = credential if isinstance(credential, AbstractApiKey) else None
    refused = Refused(
        Reason.INSUFFICIENT_SCOPE,
        api_key=key.api_key if key else "",
        required_scopes=scopes,
        access_token=key is None,
    )
    info = verification.RequestInfo(request)
    verification.report_failure(refused, info, key)
    sent = verification.parse_header(request, credentials.SCHEMES)
    return verification.refusal_response(request, refused, sent.scheme if sent else "token", info)
