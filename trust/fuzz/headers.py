"""Fuzzes the decision about a request by its headers.

The input has a header on each line, in Latin-1 as in WSGI: ``Authorization``,
``Frappe-Authorization-Source``, ``X-Forwarded-For``, and the method.
"""

from __future__ import annotations

import base64
import io
from datetime import timedelta
from random import Random
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.core.handlers.wsgi import WSGIRequest
from django.utils import timezone

from frappe_tokens import crypto
from frappe_tokens.credentials import SCHEMES, Credential, parse
from frappe_tokens.exceptions import Refused
from frappe_tokens.models import ApiKey
from frappe_tokens.verification import RequestInfo, verify
from testproject.events.models import EventConsumer

ALLOWED_IP, PEER = "192.0.2.7", "198.51.100.9"


class Stored(NamedTuple):
    """A key in the database, and how requests with its secret are answered."""

    source: str
    api_key: str
    api_secret: str
    outcome: str


def _secret(letter: str) -> str:
    body = "fts_" + letter * 43
    return body + crypto.checksum(body)


STORED = [
    Stored("User", "ftk_00000000000000ok", _secret("o"), "accepted"),
    Stored("User", "ftk_000000000revoked", _secret("r"), "key_revoked"),
    Stored("User", "ftk_000000000expired", _secret("e"), "key_expired"),
    Stored("User", "ftk_00000000disabled", _secret("d"), "key_disabled"),
    Stored("User", "ftk_00000000readonly", _secret("y"), "key_read_only"),
    Stored("User", "ftk_0000000000scoped", _secret("s"), "insufficient_scope"),
    Stored("User", "ftk_000000000network", _secret("n"), "ip_not_allowed"),
    Stored("User", "a1b2c3d4e5f6071", "0f1e2d3c4b5a697", "accepted"),
    Stored("User", "imported~key/1", "an:imported=secret", "accepted"),
    Stored("EventConsumer", "ftk_0000000consumer1", _secret("c"), "accepted"),
]
_BY_TOKEN = {(each.source, f"{each.api_key}:{each.api_secret}"): each for each in STORED}


def prepare() -> None:
    """Store the keys."""
    user = get_user_model()._default_manager.create(username="ada")
    now = timezone.now()
    policies: dict[str, dict[str, Any]] = {
        "key_revoked": {"revoked_at": now, "live": None},
        "key_expired": {"expires_at": now - timedelta(hours=1)},
        "key_disabled": {"disabled_at": now},
        "key_read_only": {"read_only": True},
        "insufficient_scope": {"scopes": ["todos"]},
        "ip_not_allowed": {"allowed_ips": [ALLOWED_IP]},
    }
    for each in STORED:
        fields = {
            "user": user,
            "api_key": each.api_key,
            "secret_digest": crypto.make_digest(each.api_secret),
            "last_used_at": now + timedelta(days=1),  # so that no use is recorded
            **policies.get(each.outcome, {}),
        }
        if each.source == "User":
            ApiKey.objects.create(name=each.api_key, **fields)
        else:
            EventConsumer.objects.create(**fields)


def seeds() -> list[bytes]:
    """Return the first inputs: each key by each scheme, and some that are damaged."""
    pairs = [f"{each.api_key}:{each.api_secret}" for each in STORED]
    headers = [
        *(f"token {pair}" for pair in pairs),
        *(f"Bearer {pair}" for pair in pairs),
        *(f"Basic {base64.b64encode(pair.encode()).decode()}" for pair in pairs),
        *(pairs[0], "Bearer opaque", "token", "Basic =", "token ftk_a:", f"\ttoken \t{pairs[0]} "),
    ]
    inputs = [header.encode() for header in headers]
    inputs += [
        f"token {pairs[0]}\nNobody\n{ALLOWED_IP}\nPOST".encode(),
        f"token {pairs[6]}\nUser\n203.0.113.9, {ALLOWED_IP}\nGET".encode(),
        f"token {pairs[-1]}\nEventConsumer\n\nDELETE".encode(),
        f"token {pairs[4]}\n\n[2001:db8::1]:4711\nHEAD".encode(),
    ]
    return inputs


WORDS = ["token ", "Basic ", "Bearer ", "ftk_", "fts_", ":", "\t", "User", "EventConsumer", "POST"]
WORDS += [each.api_key for each in STORED] + [each.api_secret for each in STORED]


def mutate(data: bytes, random: Random, change: Any) -> bytes:
    """Change the pair behind Basic, which is in Base64, or put a pair behind another scheme."""
    header, newline, rest = data.partition(b"\n")
    scheme, space, value = header.partition(b" ")
    try:
        pair = base64.b64decode(value, validate=True) if scheme.lower() == b"basic" else value
    except ValueError:
        return bytes(change(data))
    match random.randrange(4):
        case 0 if scheme.lower() == b"basic":
            value = base64.b64encode(change(pair))
        case 1:
            scheme, value = b"Basic", base64.b64encode(pair)
        case 2:
            scheme, value = random.choice([b"token", b"bearer"]), pair
        case _:
            return bytes(change(data))
    return scheme + space + value + newline + rest


def check(data: bytes) -> None:
    """Decide about a request with these headers, and compare with what is stored."""
    header, *others = data.decode("latin-1").split("\n", 3)
    credential = parse(header, *SCHEMES)
    if credential is None:
        # Never one of ours, which would pass as anonymous.
        assert header.replace("\t", " ").strip(" ").partition(" ")[0].lower() not in SCHEMES, (
            "passes as anonymous"
        )
        return
    _check_says(header, credential)
    source, forwarded, method = [*others, "", "", ""][:3]
    environ = {
        "REQUEST_METHOD": method or "GET",
        "PATH_INFO": "/",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": ALLOWED_IP if forwarded == ALLOWED_IP else PEER,
        "HTTP_X_FORWARDED_FOR": forwarded,
        "wsgi.input": io.BytesIO(),
    }
    if source:
        environ["HTTP_FRAPPE_AUTHORIZATION_SOURCE"] = source
    request = WSGIRequest(environ)
    stored = _BY_TOKEN.get((source or "User", f"{credential.api_key}:{credential.api_secret}"))
    expected = _expected(stored, credential, request)
    refused, auth = None, None
    try:
        auth = verify(credential, RequestInfo(request))
    except Refused as error:
        refused = error
    outcome = refused.reason.code if refused else "accepted"
    assert outcome == expected, f"{outcome} instead of {expected}"
    secret = str(credential.api_secret)
    if auth is not None:
        assert stored is not None
        assert getattr(auth, "api_key", None) == stored.api_key, "runs as another key"
        assert isinstance(auth, ApiKey if stored.source == "User" else EventConsumer)
    elif refused is not None and len(secret) >= 12 and secret not in credential.api_key:
        # Shorter ones may be part of anything.
        shown = f"{refused!r} {refused.sentence} {credential!r} {refused.api_key}"
        assert secret not in shown, "a secret is shown"


def _expected(stored: Stored | None, credential: Credential, request: WSGIRequest) -> str:
    if stored is None:
        may_exist = credential.well_formed or credential.access_token
        return "invalid_credentials" if may_exist else "malformed_credentials"
    is_safe = request.META["REQUEST_METHOD"].upper() in ("GET", "HEAD", "OPTIONS")
    comes_from = request.META["REMOTE_ADDR"]
    is_fine = {"ip_not_allowed": comes_from == ALLOWED_IP, "key_read_only": is_safe}
    return "accepted" if is_fine.get(stored.outcome) else stored.outcome


def _check_says(header: str, credential: Credential) -> None:
    """Read the header again, without the parser's code."""
    pair = f"{credential.api_key}:{credential.api_secret}"
    assert credential.well_formed == (pair != ":")
    assert ":" not in credential.api_key
    if not credential.well_formed:
        return
    scheme, _, value = header.replace("\t", " ").strip(" ").partition(" ")
    if scheme.lower() == "basic":
        pair = base64.b64encode(pair.encode()).decode()
    assert (scheme.lower(), value.strip(" ")) == (credential.scheme, pair), "not what was sent"
