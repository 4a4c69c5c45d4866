"""The settings for OAuth 2 clients."""

from __future__ import annotations

import re

from django.core.exceptions import ImproperlyConfigured

from ..rates import Rate
from .reading import Reader
from .scopes import SCOPE

_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


class OAuthSettings(Reader):
    """The part of ``FRAPPE_TOKENS`` that :mod:`frappe_tokens.contrib.oauth2` reads."""

    @property
    def OAUTH_DYNAMIC_REGISTRATION(self) -> bool:
        """Whether OAuth 2 clients may register themselves (RFC 7591): False."""
        return self._get("OAUTH_DYNAMIC_REGISTRATION", (bool,), False)

    @property
    def OAUTH_REGISTRATION_LIMIT(self) -> Rate | None:
        """How many clients an address may register, all together 100 times that: ``"6/hour"``."""
        return self._rate("OAUTH_REGISTRATION_LIMIT", "6/hour", "registration")

    @property
    def OAUTH_REGISTRATION_SCOPES(self) -> tuple[str, ...]:
        """The scopes that clients can get if they registered themselves: none."""
        scopes: tuple[str, ...] = self._get("OAUTH_REGISTRATION_SCOPES", (list, tuple), ())
        for scope in scopes:
            if not isinstance(scope, str) or not SCOPE.fullmatch(scope):
                raise ImproperlyConfigured(
                    f"FRAPPE_TOKENS['OAUTH_REGISTRATION_SCOPES'] has {scope!r}, which is not a "
                    "valid scope."
                )
        return tuple(scopes)

    @property
    def OAUTH_ALLOWED_ORIGINS(self) -> tuple[str, ...]:
        """The origins whose pages may get tokens without a secret; ``["*"]`` is all: none."""
        origins: tuple[str, ...] = self._get("OAUTH_ALLOWED_ORIGINS", (list, tuple), ())
        for origin in origins:
            if not isinstance(origin, str) or not (origin == "*" or _ORIGIN.fullmatch(origin)):
                raise ImproperlyConfigured(
                    f"FRAPPE_TOKENS['OAUTH_ALLOWED_ORIGINS'] has {origin!r}. Use a scheme and a "
                    'host in lower case, without a path, such as "https://app.example.com", or "*".'
                )
        return tuple(origins)

    @property
    def ALL_SCOPE(self) -> str:
        """The scope that opens what a key without scopes opens, such as ``"all"``: none."""
        rule = "a scope: printable ASCII characters without spaces, commas and quotes"
        return self._text("ALL_SCOPE", "", SCOPE, rule)
