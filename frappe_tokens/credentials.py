"""From the Authorization header to a :class:`Credential`: the only parser, for all schemes.

Sources: RFC 9110 section 11.4 (the header), RFC 7617 (Basic), RFC 6750 section 2.1 (Bearer),
https://docs.frappe.io/framework/user/en/guides/integration/rest_api/token_based_authentication.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import NamedTuple

from . import crypto
from .conf import conf
from .crypto import API_KEY_RANDOM_LENGTH, Secret
from .redaction import piece_of_secret

SCHEMES = ("token", "basic", "bearer")

API_KEY_MAX_LENGTH = 64
API_SECRET_MAX_LENGTH = 256

# Of an OAuth 2 access token. Those that are JSON Web Tokens are long, and servers allow a header no
# more than twice this.
ACCESS_TOKEN_MAX_LENGTH = 4096

# Nothing of ours is longer, so nothing longer is decoded or split: a header of ten megabytes
# costs no more than a short one.
_TOKEN_MAX_LENGTH = API_KEY_MAX_LENGTH + 1 + API_SECRET_MAX_LENGTH
_BASE64_MAX_LENGTH = (_TOKEN_MAX_LENGTH + 2) // 3 * 4

# A scheme is a token of RFC 9110, section 5.6.2. What follows it must be a space or a tab, or
# nothing; "token<NBSP>key:secret" has our scheme and no credential.
_SCHEME = re.compile(r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)([ \t]?)")

# Printable ASCII within the limits; the key ends at the first colon.
_WELL_FORMED = re.compile(rf"[!-9;-~]{{1,{API_KEY_MAX_LENGTH}}}:[!-~]{{1,{API_SECRET_MAX_LENGTH}}}")
_FRAPPE_TOKEN = re.compile(r"[0-9a-f]{15}:[0-9a-f]{15}")

# The b64token of RFC 6750, section 2.1.
_ACCESS_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class Credential(NamedTuple):
    """What the Authorization header holds for one scheme.

    Attributes:
        scheme: in lower case: ``token``, ``basic`` or ``bearer``.
        api_key: the presented key, "" unless well formed.
        api_secret: the presented secret, "" unless well formed; its ``repr()`` hides it.
        ours: it bears our marks, so no other authentication class may have it.
        well_formed: worth looking up.
        access_token: what may be an OAuth 2 access token: a Bearer credential that is no pair. ""
            for every other; its ``repr()`` hides it.
    """

    scheme: str
    api_key: str = ""
    api_secret: Secret = Secret()
    ours: bool = False
    well_formed: bool = False
    access_token: Secret = Secret()


def parse(header: str | None, scheme: str) -> Credential | None:
    """The credential that ``header`` holds for ``scheme``.

    Args:
        header: the value of ``Authorization`` as WSGI and ASGI give it (Latin-1 text), or None.
        scheme: ``token``, ``basic`` or ``bearer``.

    Returns:
        None where there is no such header or it names another scheme. Never raises.
    """
    # Servers strip the field's value (RFC 9110, section 5.5). Where one does not, a space before
    # the scheme must not hide the credential: the request would run as the session's user.
    if header is None:
        return None
    header = Secret(header)
    named = _SCHEME.match(header)
    if named is None or named[1].lower() != scheme:
        return None
    value = Secret(header[named.end() :].strip(" \t"))
    if not named[2] or not value:
        # Only the scheme's word, or something stuck to it. No other class would see a credential
        # in it either, so none is asked: it would pass as anonymous there.
        return Credential(scheme, ours=True)
    if scheme == "basic":
        return _parse_token(scheme, _decode_base64(value))
    return _parse_token(scheme, value)


def parse_any(header: str | None, schemes: Iterable[str] = SCHEMES) -> Credential | None:
    """The credential that ``header`` holds for one of ``schemes``, as :func:`parse` gives it."""
    for scheme in schemes if header else ():
        credential = parse(header, scheme)
        if credential is not None:
            return credential
    return None


def looks_secret(text: str) -> bool:
    """Whether in ``text`` is a generated secret, or most of one, which nothing may show."""
    if len(text) <= API_KEY_RANDOM_LENGTH + 4:
        # As long as an API key is by default: most requests come no further.
        return False
    if crypto.has_valid_checksum(text):
        return True
    # With its end missing, mistyped, or in quotes. An API key of a similar prefix is shorter.
    found = piece_of_secret(conf.SECRET_PREFIX).search(text)
    return found is not None and not (found.start() == 0 and text.startswith(conf.KEY_PREFIX))


def _parse_token(scheme: str, token: str) -> Credential:
    """Split ``<api_key>:<api_secret>`` at the first colon and say whose it is."""
    if len(token) > _TOKEN_MAX_LENGTH:
        return _parse_opaque(scheme, token)
    api_key, colon, api_secret = token.partition(":")
    if not colon:
        # A key without its secret is nothing that anybody else could know.
        ours = token.startswith(conf.KEY_PREFIX)
        return Credential(scheme, ours=True) if ours else _parse_opaque(scheme, token)
    # Hidden at once, so that no debug page about a wrong setting shows it.
    api_secret = Secret(api_secret)
    # The prefixes are asked for where nothing else tells: every request comes by here.
    marked = crypto.has_valid_checksum(api_secret) or _FRAPPE_TOKEN.fullmatch(token) is not None
    misspelt = not marked and api_secret.startswith(conf.SECRET_PREFIX)
    # A username and its password are a pair too, but the tokens of no other package that sends
    # "Token" or "Bearer" have a colon (RFC 6750's b64token forbids it).
    ours = marked or misspelt or scheme != "basic" or api_key.startswith(conf.KEY_PREFIX)
    if misspelt or _WELL_FORMED.fullmatch(token) is None:
        return Credential(scheme, ours=ours)
    if looks_secret(api_key):
        # The two halves in the wrong order. Keys are told to logs, and this one is a secret.
        return Credential(scheme, ours=True)
    return Credential(scheme, api_key, api_secret, ours, True)


def _parse_opaque(scheme: str, token: str) -> Credential:
    """What is no pair: an access token, if any, of whomever."""
    if (
        scheme == "bearer"
        and len(token) <= ACCESS_TOKEN_MAX_LENGTH
        and _ACCESS_TOKEN.fullmatch(token) is not None
    ):
        return Credential(scheme, access_token=Secret(token))
    return Credential(scheme)


def _decode_base64(value: str) -> str:
    """The text in ``value``; "" (which is no token) for what is not strict Base64 of ASCII."""
    if len(value) > _BASE64_MAX_LENGTH:
        return ""
    try:
        encoded = value.encode("ascii")
        decoded = base64.b64decode(encoded, validate=True)
        # Python lets superfluous padding pass, and bits that belong to no byte.
        return Secret(decoded.decode("ascii") if base64.b64encode(decoded) == encoded else "")
    except (binascii.Error, UnicodeError):
        return ""
