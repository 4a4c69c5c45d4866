"""What a request is given once its credential was accepted."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest


def admit(request: HttpRequest, user: Any, credential: Any) -> None:
    """Let ``request`` run as ``user``.

    It gets ``user``, ``auser()`` and ``auth``. It needs no CSRF token: what another site made a
    browser send by its Basic login was refused already, and browsers send nothing else by
    themselves. And it gets a session of its own, empty: that of a cookie beside the header is
    another login, whose data must count for nothing here and take no harm. What a view puts into
    it ends with the request, unless the view begins a session by ``login()``.
    """

    async def auser() -> Any:
        return user

    request.user = user
    request.auser = auser
    request.auth = credential  # type: ignore[attr-defined]
    # What CsrfViewMiddleware asks for.
    request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]
    if (session := getattr(request, "session", None)) is not None:
        store: Any = type(session)
        request.session = _class_beside(store)()
        # Where it is sent, SessionMiddleware would have the client forget it.
        request.COOKIES = {
            name: value
            for name, value in request.COOKIES.items()
            if name != settings.SESSION_COOKIE_NAME
        }


class _NotBegun:
    """A session that is not there for anyone until someone logs in or makes it."""

    _session_key: str | None

    def is_empty(self) -> bool:
        """SessionMiddleware stores what is not empty, and sends its cookie."""
        return not self._session_key and SESSION_KEY not in getattr(self, "_session_cache", ())

    def cycle_key(self) -> None:
        """Changing a password does this, and would store a session that nobody is logged in to."""
        if not self.is_empty():
            super().cycle_key()  # type: ignore[misc]

    async def acycle_key(self) -> None:
        if not self.is_empty():
            await super().acycle_key()  # type: ignore[misc]


@lru_cache(maxsize=8)
def _class_beside(store: Any) -> Any:
    return store if issubclass(store, _NotBegun) else type(store.__name__, (_NotBegun, store), {})
