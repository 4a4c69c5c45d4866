"""Which classes ``MIDDLEWARE`` names, and in which order."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.middleware import AuthenticationMiddleware, RemoteUserMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.middleware.locale import LocaleMiddleware
from django.utils.module_loading import import_string

from .request_log import RequestLogMiddleware

# After ours, the first three would replace the header's user with the session's or the proxy's. The
# last one chooses the language of refusals, and the view that a path resolves to.
_BEFORE = (SessionMiddleware, AuthenticationMiddleware, RemoteUserMiddleware, LocaleMiddleware)


def misplaced(paths: Iterable[str], ours: type[object]) -> list[str]:
    """Return the ``paths``, as in ``MIDDLEWARE``, that come after ``ours`` but must not."""
    classes = [(path, _import_class(path)) for path in paths]
    place = next((n for n, (_, cls) in enumerate(classes) if issubclass(cls, ours)), len(classes))
    return [path for path, cls in classes[place + 1 :] if issubclass(cls, _BEFORE)]


def logs_requests(path: str) -> bool:
    """Return whether ``path``, as in ``MIDDLEWARE``, is RequestLogMiddleware or a subclass."""
    return issubclass(_import_class(path), RequestLogMiddleware)


def _import_class(path: str) -> type[object]:
    """Return the class; ``object`` for anything else, which Django itself reports."""
    try:
        found = import_string(path)
    except Exception:
        return object
    return found if isinstance(found, type) else object
