"""Limits repeated failures.

Failures are counted in Django's cache, per address and presented key, up to ``FAILURE_LIMIT``. Time
is divided into windows as long as the rate's period, and a count ends with its window. Beyond the
limit, a failure is answered with 429 instead of its own code. A success uses and resets nothing.

A correct credential is never refused for failures of others: clients share addresses, and API keys
are not secret. Only the same token from the same address is refused without a query once it has
failed too often. Each process remembers such tokens, by a keyed digest.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import math
import secrets
import threading
import time

from django.core.cache import BaseCache, caches

from ..addresses import parse_address
from ..conf import conf
from ..exceptions import Reason, Refused
from ..logs import RateLimitedLogger
from ..rates import Rate
from ..waiting import MustWait, has_fixed_names, is_in_memory
from .request import DEFAULT_SOURCE

_log_cache_error = RateLimitedLogger(
    logging.getLogger("frappe_tokens.limiter"),
    "The cache doesn't answer. Failed attempts are not counted.",
)

PREFIX = "frappe_tokens:failures:"

# One client usually has a whole IPv6 network.
IPV6_PREFIX = 64

# How many tokens a process remembers. A forgotten one costs a query.
SIZE = 10_000

# Digests of the tokens that are refused until the end of the window (seconds since 1970).
_refused: set[bytes] = set()
_ends_at = 0.0
_lock = threading.Lock()
_digest_key = secrets.token_bytes(32)


def is_active() -> bool:
    """Whether this process refuses any token, so that requests have to be checked."""
    return bool(_refused)


def reset() -> None:
    """Forget which tokens this process refuses. For tests."""
    _refused.clear()


def check(
    address: str,
    api_key: str,
    api_secret: str,
    source: str = DEFAULT_SOURCE,
    *,
    may_wait: bool = True,
) -> None:
    """Refuse a token that failed too often from this address, with no query and no cache access.

    For an access token, ``api_key`` is its label and ``api_secret`` is "".

    Raises:
        Refused: it has failed too often.
        MustWait: not ``may_wait``, and it takes the project's ``KEY_FUNCTION`` to know.
    """
    if not (may_wait or has_fixed_names(_counts())):
        raise MustWait
    limit = conf.FAILURE_LIMIT if _refused else None
    if limit is None:
        return
    wait = _ends_at - time.time()
    if not 0 < wait <= limit.seconds:
        # The window has ended, the limit has changed, or the clock was set back.
        with _lock:
            _refused.clear()
    elif _digest(limit, network_of(address), api_key, api_secret, source) in _refused:
        raise _too_many(api_key, wait)


def count(
    address: str,
    api_key: str,
    api_secret: str,
    source: str = DEFAULT_SOURCE,
    *,
    may_wait: bool = True,
) -> None:
    """Count a failure, and refuse one too many. If the cache doesn't answer, nothing is counted.

    Raises:
        Refused: it has failed too often.
        MustWait: not ``may_wait``, and the cache isn't in this process's memory.
    """
    global _ends_at
    limit = conf.FAILURE_LIMIT
    network = network_of(address)
    if limit is None or not network:
        # Without an address, all clients would be counted together.
        return
    if not (may_wait or is_in_memory(_counts())):
        raise MustWait
    now = time.time()
    window = int(now // limit.seconds)
    # The rate is in the name, so that a new rate starts a new count.
    name = f"{PREFIX}{limit.number}/{limit.seconds}:{network}|{api_key}:{window}"
    try:
        failed = increment(_counts(), name, 1, limit.seconds + 1)
    except Exception:
        _log_cache_error()
        return
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


def increment(cache: BaseCache, name: str, number: int, seconds: int) -> int:
    """Add ``number`` to a count in ``cache``, atomically, and keep it for ``seconds`` at least.

    Return the new count; ``number`` if there was none. Only a positive number starts one.
    """
    try:
        if number > 0 and cache.add(name, number, seconds):
            return number
        counted = int(cache.incr(name, number))
    except ValueError:
        return number
    if type(cache).incr is BaseCache.incr:
        # A cache without an atomic operation writes the number back with its default timeout.
        cache.touch(name, seconds)
    return counted


def _counts() -> BaseCache:
    return caches[conf.CACHE or "default"]


def _too_many(api_key: str, seconds: float) -> Refused:
    return Refused(Reason.TOO_MANY_FAILURES, api_key=api_key, retry_after=math.ceil(seconds))


def _digest(limit: Rate, network: str, api_key: str, api_secret: str, source: str) -> bytes:
    # A key that is unknown in one source may be correct in another. The cache's KEY_FUNCTION may
    # tell tenants apart.
    tenant = _counts().make_key("")
    identity = repr((tenant, limit, network, api_key, source)).encode()
    digest = hashlib.blake2b(identity, digest_size=16, key=_digest_key)
    digest.update(api_secret.encode())
    return digest.digest()


def network_of(address: str) -> str:
    """Return what ``address`` is counted by: itself or its IPv6 network; "" if it is invalid."""
    parsed = parse_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False).network_address)
    return str(parsed) if parsed is not None else ""
