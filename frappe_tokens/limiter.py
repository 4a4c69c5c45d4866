"""Clients that fail again and again, and how long they have to wait.

Failures are counted in Django's cache, for all processes together: for each address and presented
key, up to ``FAILURE_LIMIT``. Time is cut into windows as long as the rate's period; with its window
a count ends. Beyond the limit a failure is answered with 429 in place of its own code.

A good credential is never refused for what others failed with. An address may be shared (by the
clients behind a proxy, or in an office), and API keys are not secret: neither says who it was. So
what is refused without a query is nothing but the very token that failed before, from that address,
when its count was full. Each process remembers those that it met, by a keyed digest.

Only failures touch the cache: a success costs nothing, and clears nothing.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import math
import secrets
import threading
import time

from django.core.cache import caches

from . import counters
from .complaints import Complaint
from .conf import conf
from .exceptions import Reason, Refused
from .policy import parse_address
from .rates import Rate

_complain = Complaint(
    logging.getLogger(__name__), "The cache does not answer. Failed attempts are not counted."
)

PREFIX = "frappe_tokens:failures:"

# One client usually has a whole IPv6 network.
IPV6_PREFIX = 64

# How many tokens a process remembers. One that it forgets costs a query.
SIZE = 10_000

# Digests of the tokens that are refused until the end of the window (seconds since 1970).
_refused: set[bytes] = set()
_ends_at = 0.0
_lock = threading.Lock()
_digest_key = secrets.token_bytes(32)


def is_active() -> bool:
    """Whether a request has to be checked at all: this process refuses some tokens."""
    return bool(_refused)


def check(address: str, api_key: str, api_secret: str = "", source: str | None = None) -> None:
    """Refuse a token that failed too often from this address. Asks neither cache nor database.

    Args:
        address: the client's, "" if unknown.
        api_key: the presented key, or the label of an access token.
        api_secret: the presented secret; "" for an access token, whose label stands for all of it.
        source: the source that the key was looked for in.

    Raises:
        Refused: with the seconds to wait.
    """
    limit = conf.FAILURE_LIMIT if _refused else None
    if limit is None:
        return
    wait = _ends_at - time.time()
    if not 0 < wait <= limit.seconds:
        # Over, of another limit, or the clock was set back: nobody waits longer than one period.
        with _lock:
            _refused.clear()
    elif _digest(limit, _network(address), api_key, api_secret, source) in _refused:
        raise _too_many(api_key, wait)


def count(address: str, api_key: str, api_secret: str = "", source: str | None = None) -> None:
    """Count a failure. Where the cache does not answer, nothing is counted.

    Args:
        address, api_key, api_secret, source: as for :func:`check`.

    Raises:
        Refused: this one was too many.
    """
    global _ends_at
    limit = conf.FAILURE_LIMIT
    network = _network(address)
    if limit is None or not network:
        # Without an address, everyone would be counted together.
        return
    now = time.time()
    window = int(now // limit.seconds)
    # With the rate, so that another one counts from then on.
    name = f"{PREFIX}{limit.number}/{limit.seconds}:{network}|{api_key}:{window}"
    failed = _add_one(name, limit)
    if failed < limit.number:
        return
    ends_at = (window + 1) * limit.seconds
    with _lock:
        if _ends_at != ends_at:
            _refused.clear()
            _ends_at = ends_at
        elif len(_refused) >= SIZE:
            _refused.pop()
        _refused.add(_digest(limit, network, api_key, api_secret, source))
    if failed > limit.number:
        raise _too_many(api_key, ends_at - now)


def _too_many(api_key: str, seconds: float) -> Refused:
    return Refused(Reason.TOO_MANY_FAILURES, api_key=api_key, retry_after=math.ceil(seconds))


def _digest(limit: Rate, network: str, api_key: str, api_secret: str, source: str | None) -> bytes:
    # With the source: a key that is looked for in the wrong one is right in its own.
    which = repr((limit, network, api_key, source)).encode()
    digest = hashlib.blake2b(which, digest_size=16, key=_digest_key)
    digest.update(api_secret.encode())
    return digest.digest()


def _network(address: str) -> str:
    parsed = parse_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False).network_address)
    return str(parsed) if parsed is not None else ""


def _add_one(name: str, limit: Rate) -> int:
    """How many failures ``name`` has now; 0 where the cache does not answer."""
    try:
        return counters.add(caches[conf.CACHE or "default"], name, 1, limit.seconds + 1)
    except Exception:
        _complain()
        return 0
