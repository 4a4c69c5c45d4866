"""Sets the user of a request whose credential was accepted."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest


def admit(request: HttpRequest, credential: Any) -> None:
    """Run ``request`` as the user of ``credential``, which was accepted.

    It needs no CSRF token: browsers send only Basic by themselves, and a Basic login that another
    site caused has been refused. It gets its own, empty session, because the cookie's belongs to
    another login. The session ends with the request, unless the view calls ``login()``.
    """

    # Read once: after a view has refreshed the credential, it would query in an event loop.
    user = credential.user

    async def auser() -> Any:
        return user

    request.user = user
    request.auser = auser
    # The name that DRF uses. Django's requests, and so the stubs, have no such attribute.
    request.auth = credential  # type: ignore[attr-defined]
    # CsrfViewMiddleware reads it. It's private, so the stubs don't have it.
    request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]
    if (session := getattr(request, "session", None)) is not None:
        request.session = _subclass(session.__class__)()
        # Otherwise, SessionMiddleware would delete the client's cookie.
        request.COOKIES = dict(request.COOKIES)
        request.COOKIES.pop(settings.SESSION_COOKIE_NAME, None)


class _NotStarted(SessionBase):
    """A session that is neither stored nor sent until a view logs a user in or creates it."""

    _session_key: str | None

    def is_empty(self) -> bool:
        """Return whether there is nothing to store, and no cookie to send."""
        return not self._session_key and SESSION_KEY not in getattr(self, "_session_cache", ())

    # Changing a password calls these, and would store a session without a login.

    def cycle_key(self) -> None:
        if not self.is_empty():
            super().cycle_key()

    async def acycle_key(self) -> None:
        if not self.is_empty():
            await super().acycle_key()


@lru_cache(maxsize=8)
def _subclass(store: Any) -> Any:
    if issubclass(store, _NotStarted):
        return store
    return type(store.__name__, (_NotStarted, store), {})
