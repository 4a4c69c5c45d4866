"""Where :class:`~frappe_tokens.middleware.TokenAuthenticationMiddleware` has to stand."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.middleware import AuthenticationMiddleware, RemoteUserMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.middleware.locale import LocaleMiddleware
from django.utils.module_loading import import_string

# Behind ours, the first three would put the session's user, or the proxy's, in the place of the
# header's. The last one chooses the language of the refusals, and which view an address leads to.
MUST_COME_BEFORE = (
    SessionMiddleware,
    AuthenticationMiddleware,
    RemoteUserMiddleware,
    LocaleMiddleware,
)


def misplaced(names: Iterable[str], ours: type[object]) -> list[str]:
    """Those of ``names`` (as in ``MIDDLEWARE``) that stand behind ``ours``, and have to be before.

    Nothing is said of what cannot be imported: Django says it.
    """
    behind: list[str] = []
    classes = [(name, _class_of(name)) for name in names]
    for place, (_, cls) in enumerate(classes):
        if issubclass(cls, ours):
            behind = [name for name, c in classes[place + 1 :] if issubclass(c, MUST_COME_BEFORE)]
            break
    return behind


def _class_of(name: str) -> type[object]:
    try:
        found = import_string(name)
    except ImportError:
        found = None
    return found if isinstance(found, type) else object
