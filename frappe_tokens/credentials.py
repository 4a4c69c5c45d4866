"""From the Authorization header to a :class:`Credential`: the only parser, for all schemes.

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
from .crypto import Secret

API_KEY_MAX_LENGTH = 64
API_SECRET_MAX_LENGTH = 256

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


class Credential(NamedTuple):
    """What the Authorization header holds for one scheme.

    Attributes:
        scheme: in lower case: ``token``, ``basic`` or ``bearer``.
        api_key: the presented key, "" unless well formed.
        api_secret: the presented secret, "" unless well formed; its ``repr()`` hides it.
        ours: it bears our marks, so no other authentication class may have it.
        well_formed: worth looking up.
    """

    scheme: str
    api_key: str = ""
    api_secret: Secret = Secret()
    ours: bool = False
    well_formed: bool = False


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


def _parse_token(scheme: str, token: str) -> Credential:
    """Split ``<api_key>:<api_secret>`` at the first colon and say whose it is."""
    if len(token) > _TOKEN_MAX_LENGTH:
        return Credential(scheme)
    api_key, colon, api_secret = token.partition(":")
    if not colon:
        return Credential(scheme, ours=token.startswith(conf.KEY_PREFIX))
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
    return Credential(scheme, api_key, api_secret, ours, True)


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
