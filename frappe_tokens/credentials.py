"""Parses the Authorization header, for all schemes.

Sources: RFC 9110 section 11.4 (the header), RFC 7617 (Basic), RFC 6750 section 2.1 (Bearer),
https://docs.frappe.io/framework/user/en/guides/integration/rest_api/token_based_authentication.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple

from . import crypto
from .conf import conf
from .crypto import API_KEY_RANDOM_LENGTH, Secret
from .redaction import piece_of_secret

SCHEMES = ("token", "basic", "bearer")

API_KEY_MAX_LENGTH = 64
API_SECRET_MAX_LENGTH = 256

# JSON Web Tokens are long. Servers limit a header to about twice this.
ACCESS_TOKEN_MAX_LENGTH = 4096

# Anything longer isn't decoded or split, so that a header of ten megabytes costs no more than a
# short one.
_TOKEN_MAX_LENGTH = API_KEY_MAX_LENGTH + 1 + API_SECRET_MAX_LENGTH
_BASE64_MAX_LENGTH = (_TOKEN_MAX_LENGTH + 2) // 3 * 4

# A scheme is a token of RFC 9110, section 5.6.2, followed by a space, a tab or the end.
# "token<NBSP>key:secret" has our scheme and no credential.
_SCHEME = re.compile(r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)([ \t]?)")

# Printable ASCII within the limits. The API key ends at the first colon.
_WELL_FORMED = re.compile(rf"[!-9;-~]{{1,{API_KEY_MAX_LENGTH}}}:[!-~]{{1,{API_SECRET_MAX_LENGTH}}}")
_FRAPPE_TOKEN = re.compile(r"[0-9a-f]{15}:[0-9a-f]{15}")

# The b64token of RFC 6750, section 2.1.
_ACCESS_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class Credential(NamedTuple):
    """The content of the Authorization header for one scheme. ``repr()`` hides its secrets.

    Attributes:
        scheme: ``token``, ``basic`` or ``bearer``, in lower case.
        api_key: the presented API key, "" unless well formed.
        api_secret: the presented API secret, "" unless well formed.
        ours: it has our form, so no other authentication class may handle it.
        well_formed: it can be looked up.
        access_token: a possible OAuth 2 access token: a Bearer credential that isn't a pair.
    """

    scheme: str
    api_key: str = ""
    api_secret: Secret = Secret()
    ours: bool = False
    well_formed: bool = False
    access_token: Secret = Secret()


def parse(header: str | None, *schemes: str) -> Credential | None:
    """Return the credential in ``header`` for one of ``schemes``. Never raises.

    Args:
        header: the value of ``Authorization`` as WSGI and ASGI provide it (Latin-1), or None.
        schemes: of ``token``, ``basic`` and ``bearer``.

    Returns:
        None if there is no such header or it names another scheme.
    """
    # Servers strip the value (RFC 9110, section 5.5). If one doesn't, a space before the scheme
    # must not hide the credential: the request would run as the session's user.
    if header is None:
        return None
    header = Secret(header)
    named = _SCHEME.match(header)
    if named is None or (scheme := named[1].lower()) not in schemes:
        return None
    value = Secret(header[named.end() :].strip(" \t"))
    if not named[2] or not value:
        # The scheme alone, or something stuck to it. Other classes would see no credential in it
        # either, and let it pass as anonymous.
        return Credential(scheme, ours=True)
    return _parse_token(scheme, _decode_base64(value) if scheme == "basic" else value)


def looks_secret(text: str) -> bool:
    """Whether ``text`` contains most of a generated secret, which nothing may show."""
    if len(text) <= API_KEY_RANDOM_LENGTH + 4:
        # No longer than an API key with the default prefix, like in most requests.
        return False
    if crypto.has_valid_checksum(text):
        return True
    # Cut off, mistyped, or in quotes. An API key with a similar prefix is shorter.
    found = piece_of_secret(conf.SECRET_PREFIX).search(text)
    return found is not None and not (found.start() == 0 and text.startswith(conf.KEY_PREFIX))


def _parse_token(scheme: str, token: str) -> Credential:
    """Split ``<api_key>:<api_secret>`` at the first colon, and see whether it is ours."""
    if len(token) > _TOKEN_MAX_LENGTH:
        return _parse_opaque(scheme, token)
    api_key, colon, api_secret = token.partition(":")
    if not colon:
        # An API key without its secret means nothing to other classes.
        ours = token.startswith(conf.KEY_PREFIX)
        return Credential(scheme, ours=True) if ours else _parse_opaque(scheme, token)
    # Hidden before any setting is read, so that no debug page about a wrong one shows it.
    api_secret = Secret(api_secret)
    # The prefixes are only read if nothing else decides, because this runs at every request.
    marked = crypto.has_valid_checksum(api_secret) or _FRAPPE_TOKEN.fullmatch(token) is not None
    misspelt = not marked and api_secret.startswith(conf.SECRET_PREFIX)
    # A username and its password are a pair too, but the tokens of no other package that sends
    # "Token" or "Bearer" have a colon (RFC 6750's b64token forbids it).
    ours = marked or misspelt or scheme != "basic" or api_key.startswith(conf.KEY_PREFIX)
    if misspelt or _WELL_FORMED.fullmatch(token) is None:
        return Credential(scheme, ours=ours)
    if looks_secret(api_key):
        # The halves are in the wrong order. API keys are logged, and this one is a secret.
        return Credential(scheme, ours=True)
    return Credential(scheme, api_key, api_secret, ours, True)


def _parse_opaque(scheme: str, token: str) -> Credential:
    """Return the credential for a token that isn't a pair, possibly an access token."""
    if (
        scheme == "bearer"
        and len(token) <= ACCESS_TOKEN_MAX_LENGTH
        and _ACCESS_TOKEN.fullmatch(token) is not None
    ):
        return Credential(scheme, access_token=Secret(token))
    return Credential(scheme)


def _decode_base64(value: str) -> str:
    """Return the text in ``value``; "" if it isn't strict Base64 of ASCII."""
    if len(value) > _BASE64_MAX_LENGTH:
        return ""
    try:
        encoded = value.encode("ascii")
        decoded = base64.b64decode(encoded, validate=True)
        # Python accepts superfluous padding and bits.
        return Secret(decoded.decode("ascii") if base64.b64encode(decoded) == encoded else "")
    except (binascii.Error, UnicodeError):
        return ""
