"""What authenticated a request."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, load_backend
from django.http import HttpRequest

# Login forms call its ``authenticate()``, which accepts an access token in the request's header,
# query or body instead of a password.
_OAUTH2_BACKEND = "oauth2_provider.backends.OAuth2Backend"

# A credential that isn't in the request's ``auth``.
UNKNOWN = object()


def credential_of(request: HttpRequest) -> Any:
    """Return what authenticated ``request``; None for a session, or for nothing.

    With an ``Authorization`` header, a session never counts: a middleware like
    django-oauth-toolkit's may have set the user by that header, without setting ``auth``.
    """
    credential = getattr(request, "auth", None)
    if credential is None and request.META.get("HTTP_AUTHORIZATION"):
        return UNKNOWN
    return credential


def began_with_access_token(request: HttpRequest) -> bool:
    """Whether an access token started the session of ``request``, instead of a person."""
    session = getattr(request, "session", None)
    if session is None:
        return False
    path = session.get(BACKEND_SESSION_KEY)
    # Django ignores sessions by other backends too.
    return path in settings.AUTHENTICATION_BACKENDS and extends(load_backend(path), _OAUTH2_BACKEND)


def extends(instance: object, path: str) -> bool:
    """Whether ``instance`` is of the class at the dotted ``path``, which isn't imported."""
    return path in map(path_of, type(instance).__mro__)


def path_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
