"""Where applications may send users back to."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from oauth2_provider.models import AbstractApplication
from oauth2_provider.settings import oauth2_settings

# "localhost" too: many clients use it, although RFC 8252, section 8.3, prefers the addresses.
_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|\[::1\]|localhost)(:[0-9]{1,5})?([/?][!-~]*)?")

# Browsers read a backslash as a slash.
_UNSAFE = re.compile(r"[^!-~]|[#*\\]")


def allow_native_apps(model: type[AbstractApplication]) -> None:
    """Let applications have the redirect URIs of native apps, unless the project's model decides.

    The toolkit knows the schemes of the whole site only: ``http`` for programs on a user's device
    would allow it for every host.
    """
    if model.get_allowed_schemes is AbstractApplication.get_allowed_schemes:
        model.get_allowed_schemes = allowed_schemes


def allowed_schemes(application: AbstractApplication) -> list[str]:
    """Return the schemes that an application may redirect to.

    Besides ``ALLOWED_REDIRECT_URI_SCHEMES``, these are ``http`` if it is used for loopback
    addresses only, and private-use schemes (RFC 8252, 7.1 and 7.3).
    """
    uris = application.redirect_uris.split()
    plain = [uri for uri in uris if _split(uri).scheme == "http"]
    native = {"http"} if plain and all(map(is_loopback, plain)) else set()
    native |= {_split(uri).scheme for uri in uris if is_private_use(uri)}
    return [*oauth2_settings.ALLOWED_REDIRECT_URI_SCHEMES, *sorted(native)]


def is_loopback(uri: str) -> bool:
    """Whether ``uri`` leads to a program on the user's own device."""
    return _LOOPBACK.fullmatch(uri) is not None


def is_private_use(uri: str) -> bool:
    """Whether the scheme is a domain in reverse order, such as ``com.example.app``."""
    return "." in _split(uri).scheme


def is_safe(uri: str) -> bool:
    """Whether a client that no administrator has checked may have this redirect URI.

    It is https, loopback or has a private-use scheme, and no fragment, wildcard or user name.
    """
    parts = _split(uri)
    secure = parts.scheme == "https" and bool(parts.hostname)
    return (secure or is_loopback(uri) or is_private_use(uri)) and not (
        _UNSAFE.search(uri) or "@" in parts.netloc
    )


def with_issuer(uri: str, issuer: str) -> str:
    """Return ``uri`` with the parameter ``iss``, also for errors (RFC 9207, section 2).

    It replaces any other, and is where the response is: in the fragment if there is one.
    """
    parts = urlsplit(uri)
    query, fragment = _without_issuer(parts.query), _without_issuer(parts.fragment)
    (fragment if fragment else query).append(("iss", issuer))
    return parts._replace(query=urlencode(query), fragment=urlencode(fragment)).geturl()


def _without_issuer(params: str) -> list[tuple[str, str]]:
    pairs = parse_qsl(params, keep_blank_values=True)
    return [(name, value) for name, value in pairs if name != "iss"]


def _split(uri: str) -> SplitResult:
    try:
        parts = urlsplit(uri)
        _ = parts.hostname, parts.port  # raise the error of an invalid one here
    except ValueError:
        return SplitResult("", "", "", "", "")
    return parts
