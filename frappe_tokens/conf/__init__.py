"""The settings, ``FRAPPE_TOKENS = {...}``: a typed property for each, read at every access."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from importlib.util import find_spec
from types import NoneType

from django.conf import settings
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured

from ..rates import Rate
from .oauth import OAuthSettings
from .reading import LONGEST
from .scopes import SCOPE, Scopes, check_scopes, scopes_of_toolkit

__all__ = [
    "LONGEST",
    "PEPPER_MIN_LENGTH",
    "REQUEST_LOGS",
    "SCOPE",
    "Scopes",
    "Settings",
    "conf",
    "scopes_of_toolkit",
]

# No colon (the token's separator) and nothing that a header or a shell would need quoted.
_PREFIX = re.compile(r"[A-Za-z0-9_.-]{1,20}")
_PREFIX_RULE = "1 to 20 letters, digits, '_', '-' or '.'"
# Servers drop headers with an underscore, because META doesn't tell it from a hyphen. Remote-Addr
# isn't REMOTE_ADDR: only clients send it.
_HEADER = re.compile(r"(?!(?i:remote-addr)\Z)[A-Za-z0-9-]+")
_HEADER_RULE = (
    'the name of a header as it is sent, such as "X-Real-IP", not "HTTP_X_REAL_IP" or "Remote-Addr"'
)
_KEYS_URL = re.compile(r"(https://|http://(127\.0\.0\.1|localhost)[:/])[!-~]+")
# Without a path, which reverse() adds.
_SITE_URL = re.compile(r"(https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?)?")
_REALM = re.compile(r"[ !#-\[\]-~]*")

PEPPER_MIN_LENGTH = 32
REQUEST_LOGS = ("durable", "buffered", "null")

_DATABASE_CACHE = "django.core.cache.backends.db.DatabaseCache"
_MINUTE = timedelta(minutes=1)
_DEFAULT_SOURCES = {"User": "frappe_tokens.ApiKey"}


class Settings(OAuthSettings):
    """A live view of ``settings.FRAPPE_TOKENS``. Each property documents its default.

    Raises:
        ImproperlyConfigured: from any property whose value is invalid; the message says why.
    """

    @property
    def SOURCES(self) -> Mapping[str, str]:
        """The models that keys are on, by name: ``{"User": "frappe_tokens.ApiKey"}``."""
        sources = self._get("SOURCES", (dict,), _DEFAULT_SOURCES)
        return sources if "User" in sources else {**_DEFAULT_SOURCES, **sources}

    @property
    def KEY_PREFIX(self) -> str:
        """The prefix of new API keys: ``"ftk_"``."""
        return self._text("KEY_PREFIX", "ftk_", _PREFIX, _PREFIX_RULE)

    @property
    def SECRET_PREFIX(self) -> str:
        """The prefix of new API secrets: ``"fts_"``."""
        return self._text("SECRET_PREFIX", "fts_", _PREFIX, _PREFIX_RULE)

    @property
    def PEPPERS(self) -> tuple[str, ...]:
        """Keys of the HMAC for digests, newest first: none."""
        peppers: tuple[str, ...] = self._get("PEPPERS", (list, tuple), ())
        for pepper in peppers:
            if not isinstance(pepper, str) or len(pepper) < PEPPER_MIN_LENGTH:
                raise ImproperlyConfigured(
                    f"FRAPPE_TOKENS['PEPPERS'] must hold strings of at least "
                    f"{PEPPER_MIN_LENGTH} characters. Generate one with: "
                    'python -c "import secrets; print(secrets.token_urlsafe(48))"'
                )
        return tuple(peppers)

    @property
    def DEFAULT_LIFETIME(self) -> timedelta | None:
        """The lifetime of a key for which no expiry is given: unlimited."""
        return self._optional_timedelta("DEFAULT_LIFETIME")

    @property
    def MAX_LIFETIME(self) -> timedelta | None:
        """The longest lifetime of a key: unlimited."""
        return self._optional_timedelta("MAX_LIFETIME")

    @property
    def ROTATION_GRACE(self) -> timedelta:
        """How long a replaced secret keeps working: zero."""
        grace = self._get("ROTATION_GRACE", (timedelta,), timedelta(0))
        if grace < timedelta(0):
            raise ImproperlyConfigured("FRAPPE_TOKENS['ROTATION_GRACE'] must not be negative.")
        return grace

    @property
    def REVOKE_ON_REPLAY(self) -> bool:
        """Whether the use of a replaced secret after its end revokes the key: False."""
        return self._get("REVOKE_ON_REPLAY", (bool,), False)

    @property
    def LAST_USED_INTERVAL(self) -> timedelta:
        """How often the last use of a key is recorded at most: once a minute."""
        interval = self._get("LAST_USED_INTERVAL", (timedelta,), _MINUTE)
        if interval > LONGEST:
            raise ImproperlyConfigured(
                f"FRAPPE_TOKENS['LAST_USED_INTERVAL'] must be at most {LONGEST.days} days."
            )
        return interval

    @property
    def CACHE(self) -> str | None:
        """The alias of the Django cache for verified keys: none."""
        alias: str | None = self._get("CACHE", (str, NoneType), None)
        if alias is not None and alias not in caches.settings:
            raise ImproperlyConfigured(
                f"FRAPPE_TOKENS['CACHE'] is {alias!r}, which isn't in CACHES: "
                f"{', '.join(caches.settings)}."
            )
        if alias is not None and caches.settings[alias].get("BACKEND") == _DATABASE_CACHE:
            raise ImproperlyConfigured(
                f"FRAPPE_TOKENS['CACHE'] must not be {alias!r}, a cache in the database, which "
                "saves no query. Use Redis or Memcached."
            )
        return alias

    @property
    def CACHE_TIMEOUT(self) -> timedelta:
        """How long a key stays in that cache at most: a minute."""
        timeout = self._get("CACHE_TIMEOUT", (timedelta,), _MINUTE)
        if timeout <= timedelta(0):
            raise ImproperlyConfigured("FRAPPE_TOKENS['CACHE_TIMEOUT'] must be positive.")
        return timeout

    @property
    def SCOPES(self) -> Scopes | None:
        """The scopes that keys may have, and what each allows: django-oauth-toolkit's, else any."""
        scopes = self._get("SCOPES", (dict, NoneType), None)
        return scopes_of_toolkit() if scopes is None else check_scopes(scopes)

    @property
    def SELF_SERVICE(self) -> bool:
        """Whether all users may generate, rotate and revoke their own keys: False."""
        return self._get("SELF_SERVICE", (bool,), False)

    @property
    def NOTIFY_CHANGES(self) -> bool:
        """Whether users get an email when someone else makes, changes or ends their key: False."""
        return self._get("NOTIFY_CHANGES", (bool,), False)

    @property
    def SITE_URL(self) -> str:
        """The scheme and host of the site, for the links in emails: none."""
        rule = 'a scheme and a host without a path, such as "https://example.com"'
        return self._text("SITE_URL", "", _SITE_URL, rule)

    @property
    def MAX_KEYS_PER_USER(self) -> int | None:
        """How many API keys that aren't revoked a user may have: unlimited."""
        return self._optional_int("MAX_KEYS_PER_USER", None, least=1)

    @property
    def PAGES_ACCEPT_CREDENTIALS(self) -> bool:
        """Whether API keys open pages for people, such as the admin: False."""
        return self._get("PAGES_ACCEPT_CREDENTIALS", (bool,), False)

    @property
    def FAILURE_LIMIT(self) -> Rate | None:
        """How often an address may fail with one key: ``"100/minute"``."""
        return self._rate("FAILURE_LIMIT", "100/minute", "failure")

    @property
    def NUM_PROXIES(self) -> int | None:
        """How many trusted proxies are in front of the app: DRF's setting, else None."""
        own = self._optional_int("NUM_PROXIES", None)
        # Not from DRF, because the core must run without it.
        shared: int | None = getattr(settings, "REST_FRAMEWORK", {}).get("NUM_PROXIES")
        return shared if own is None else own

    @property
    def CLIENT_ADDRESS_HEADER(self) -> str:
        """The header that proxies write the client's address into: ``"X-Forwarded-For"``."""
        return self._text("CLIENT_ADDRESS_HEADER", "X-Forwarded-For", _HEADER, _HEADER_RULE)

    @property
    def REQUEST_LOG(self) -> str:
        """``"durable"``, ``"buffered"``, ``"null"`` or the path of a sink: ``"buffered"``."""
        name = self._get("REQUEST_LOG", (str,), "buffered")
        if name not in REQUEST_LOGS and "." not in name:
            raise ImproperlyConfigured(
                f"FRAPPE_TOKENS['REQUEST_LOG'] is {name!r}. Use one of "
                f"{', '.join(map(repr, REQUEST_LOGS))}, or the dotted path of your own sink."
            )
        return name

    @property
    def REQUEST_LOG_LIMIT(self) -> int | None:
        """How many requests without a correct secret are logged per address and minute: 60."""
        return self._optional_int("REQUEST_LOG_LIMIT", 60)

    @property
    def REQUEST_LOG_RETENTION(self) -> timedelta | None:
        """After how long rows of the request log are deleted in the background: never."""
        return self._optional_timedelta("REQUEST_LOG_RETENTION")

    @property
    def OPENAPI_OPERATIONS(self) -> bool:
        """Whether the app's own URLs are in the project's OpenAPI schema: True."""
        return self._get("OPENAPI_OPERATIONS", (bool,), True)

    @property
    def SECRET_SCANNING_KEYS_URL(self) -> str | None:
        """The URL of the public keys that verify secret scanning reports: reports are off."""
        own: str | None = self._get("SECRET_SCANNING_KEYS_URL", (str, NoneType), None)
        if own is not None and not (_KEYS_URL.fullmatch(own) and find_spec("cryptography")):
            raise ImproperlyConfigured(
                "FRAPPE_TOKENS['SECRET_SCANNING_KEYS_URL'] must be an https:// URL, and needs the "
                "package cryptography: pip install 'frappe-tokens[scanning]'"
            )
        return own

    @property
    def REALM(self) -> str:
        """The realm in the challenge of a 401 (RFC 9110, section 11.5): ``"api"``."""
        return self._text("REALM", "api", _REALM, "printable ASCII without quotes and backslashes")


conf = Settings()
