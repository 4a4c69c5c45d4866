"""Parses the Authorization header, for all schemes.

Sources: RFC 9110 section 11.4 (the header), RFC 7617 (Basic), RFC 6750 section 2.1 (Bearer),
https://docs.frappe.io/framework/user/en/guides/integration/rest_api/token_based_authentication.
"""

from __future__ import annotations

import base64
import re
from typing import NamedTuple

from . import crypto
from .conf import conf
from .crypto import API_KEY_RANDOM_LENGTH, Secret
from .exceptions import Mistake
from .redaction import piece_of_secret

SCHEMES = ("token", "basic", "bearer")

API_KEY_MAX_LENGTH = 64
API_SECRET_MAX_LENGTH = 256

# JSON Web Tokens are long. Servers limit a header to about twice this.
ACCESS_TOKEN_MAX_LENGTH = 4096

# Anything longer isn't decoded or split, so that a header of ten megabytes costs nothing.
_TOKEN_MAX_LENGTH = API_KEY_MAX_LENGTH + 1 + API_SECRET_MAX_LENGTH
_BASE64_MAX_LENGTH = (_TOKEN_MAX_LENGTH + 2) // 3 * 4

# A scheme is a token of RFC 9110, section 5.6.2, followed by a space, a tab or the end.
# "token<NBSP>key:secret" has our scheme and no credential. Spaces before it, which servers should
# strip (section 5.5), must not hide it: the request would run as the session's user.
_SCHEME = re.compile(r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)([ \t]?)")

# Printable ASCII within the limits. The API key ends at the first colon.
_WELL_FORMED = re.compile(rf"[!-9;-~]{{1,{API_KEY_MAX_LENGTH}}}:[!-~]{{1,{API_SECRET_MAX_LENGTH}}}")
_FRAPPE_TOKEN = re.compile(r"[0-9a-f]{15}:[0-9a-f]{15}")
_SECRET = re.compile(rf"[!-9;-~]{{1,{API_SECRET_MAX_LENGTH}}}")

_NO_SCHEME = {
    "token": Mistake.NO_TOKEN_SCHEME,
    "basic": Mistake.NO_BASIC_SCHEME,
    "bearer": Mistake.NO_BEARER_SCHEME,
}

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
        mistake: what is probably wrong with it, for the sentence of a refusal.
    """

    scheme: str
    api_key: str = ""
    api_secret: Secret = Secret()
    ours: bool = False
    well_formed: bool = False
    access_token: Secret = Secret()
    mistake: Mistake | None = None


def parse(header: str | None, *schemes: str) -> Credential | None:
    """Return the credential in ``header`` for one of ``schemes``. Never raises.

    Args:
        header: the value of ``Authorization`` as WSGI and ASGI provide it (Latin-1), or None.
        schemes: of ``token``, ``basic`` and ``bearer``.

    Returns:
        None if there is no such header or it has another scheme. One of our tokens without any
        scheme is malformed, and gets the first of ``schemes``.
    """
    if header is None:
        return None
    header = Secret(header)
    named = _SCHEME.match(header)
    if named is None:
        return None
    if (scheme := named[1].lower()) not in schemes:
        if named[2] or not schemes or not is_bare_token(header):
            return None
        return Credential(schemes[0], ours=True, mistake=_NO_SCHEME[schemes[0]])
    value = Secret(header[named.end() :].strip(" \t"))
    if not named[2] or not value:
        # No credential. Other classes would let it pass as anonymous.
        return Credential(scheme, ours=True)
    return _parse_token(scheme, _decode_base64(value) if scheme == "basic" else value)


def parse_found(text: str) -> tuple[str, Secret]:
    """Return the API key and the API secret of a leaked token. Never raises.

    Returns:
        The API key is "" for a secret alone, which must have a valid checksum, because such secrets
        can't be guessed. Both are "" for anything else.
    """
    credential = parse(f"token {text}", "token")
    if credential is not None and credential.well_formed:
        return credential.api_key, credential.api_secret
    secret = Secret(text.strip(" \t"))
    alone = _SECRET.fullmatch(secret) is not None and crypto.has_valid_checksum(secret)
    return "", secret if alone else Secret()


def is_bare_token(text: str) -> bool:
    """Whether ``text`` is certainly one of our tokens, ``<api_key>:<api_secret>``."""
    if len(text) > _TOKEN_MAX_LENGTH:
        return False
    token = Secret(text.strip(" \t"))
    if _FRAPPE_TOKEN.fullmatch(token) is not None:
        return True
    secret = Secret(token.partition(":")[2])
    # A mistyped or shortened secret has no checksum, and one prefix may begin anything.
    return crypto.has_valid_checksum(secret) or (
        secret.startswith(conf.SECRET_PREFIX) and token.startswith(conf.KEY_PREFIX)
    )


def looks_secret(text: str) -> bool:
    """Whether ``text`` contains most of a generated secret, which nothing may show."""
    if len(text) <= API_KEY_RANDOM_LENGTH + 4:
        # As short as an API key with the default prefix, as in most requests.
        return False
    if crypto.has_valid_checksum(text):
        return True
    # Cut off, mistyped or in quotes. An API key with a similar prefix is shorter.
    found = piece_of_secret(conf.SECRET_PREFIX).search(text)
    return found is not None and not (found.start() == 0 and text.startswith(conf.KEY_PREFIX))


def _parse_token(scheme: str, token: str) -> Credential:
    """Split ``<api_key>:<api_secret>`` at the first colon, and decide whether it is ours."""
    if len(token) > _TOKEN_MAX_LENGTH:
        return _parse_opaque(scheme, token)
    api_key, colon, api_secret = token.partition(":")
    if not colon:
        return _parse_half(scheme, token)
    # Before any setting is read: a debug page about an invalid one shows variables.
    api_secret = Secret(api_secret)
    # The prefixes are read last, because each request comes here.
    marked = crypto.has_valid_checksum(api_secret) or _FRAPPE_TOKEN.fullmatch(token) is not None
    misspelt = not marked and api_secret.startswith(conf.SECRET_PREFIX)
    # For Basic, a username and its password are a pair too. Tokens of other packages for "Token" or
    # "Bearer" have no colon (RFC 6750's b64token).
    ours = marked or misspelt or scheme != "basic" or api_key.startswith(conf.KEY_PREFIX)
    if misspelt or _WELL_FORMED.fullmatch(token) is None:
        return Credential(scheme, ours=ours, mistake=_mistake_in(api_key, api_secret, misspelt))
    if looks_secret(api_key):
        # API keys are logged, and this one is a secret.
        return Credential(scheme, ours=True, mistake=Mistake.WRONG_ORDER)
    return Credential(scheme, api_key, api_secret, ours, True)


def _mistake_in(api_key: str, api_secret: Secret, misspelt: bool) -> Mistake | None:
    """Return what is probably wrong with a pair that isn't well formed."""
    if looks_secret(api_key):
        return Mistake.WRONG_ORDER if api_secret else Mistake.KEY_MISSING
    if misspelt:
        return Mistake.WRONG_CHECKSUM
    if not api_secret:
        return Mistake.SECRET_MISSING if api_key else None
    return None if api_key else Mistake.KEY_MISSING


def _parse_half(scheme: str, token: str) -> Credential:
    """Return the credential for a token without a colon, possibly half of a pair."""
    is_secret = crypto.has_valid_checksum(token) and token.startswith(conf.SECRET_PREFIX)
    mistake = Mistake.KEY_MISSING if is_secret else Mistake.SECRET_MISSING
    if token.startswith(conf.KEY_PREFIX):
        # An API key without its secret means nothing to other classes.
        return Credential(scheme, ours=True, mistake=mistake)
    parsed = _parse_opaque(scheme, token)
    # For Bearer it stays a possible access token: a project's generator may use our form.
    return parsed._replace(ours=True, mistake=mistake) if is_secret else parsed


def _parse_opaque(scheme: str, token: str) -> Credential:
    """Return the credential for a token that isn't a pair, possibly an access token."""
    if scheme != "bearer":
        return Credential(scheme)
    if len(token) > ACCESS_TOKEN_MAX_LENGTH:
        return Credential(scheme, mistake=Mistake.ACCESS_TOKEN_TOO_LONG)
    if _ACCESS_TOKEN.fullmatch(token) is None:
        return Credential(scheme)
    return Credential(scheme, access_token=Secret(token))


def _decode_base64(value: str) -> str:
    """Return the text in ``value``; "" if it isn't strict Base64 of ASCII."""
    if len(value) > _BASE64_MAX_LENGTH:
        return ""
    try:
        # Never bytes in a variable: reports of errors show those.
        decoded = Secret(base64.b64decode(value, validate=True).decode("ascii"))
    except ValueError:
        return ""
    # Python accepts superfluous padding and bits.
    return decoded if base64.b64encode(decoded.encode()).decode() == value else ""
