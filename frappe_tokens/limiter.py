"""Addresses that fail too often, and what they have to wait.

Failures are counted in Django's cache, for all processes together: for each address and presented
key up to ``FAILURE_LIMIT``, and for each address alone up to ten times that, so that one broken
client does not lock out its neighbours behind the same address. Time is cut into windows as long as
the rate's period; with its window a count ends.

Only failures touch the cache. A process that finds a count full remembers it until the window ends
and refuses without asking anyone; another process finds out at its own next failure. So a success
costs nothing, and it clears nothing that others failed.
"""

from __future__ import annotations

import ipaddress
import logging
import math
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

ADDRESS_FACTOR = 10

PREFIX = "frappe_tokens:failures:"

# Whoever has an IPv6 address usually has all of its network.
IPV6_PREFIX = 64

# What a process remembers at the most: whoever has that many addresses is not stopped by this.
SIZE = 10_000

_full: dict[str, float] = {}
_lock = threading.Lock()


def is_active() -> bool:
    """Whether a request has to be checked at all: this process knows of a full count."""
    return bool(_full)


def check(address: str, api_key: str) -> None:
    """Refuse a request whose address has failed too often. Asks neither cache nor database.

    Args:
        address: the client's, "" if unknown.
        api_key: the presented key.

    Raises:
        Refused: with the seconds to wait.
    """
    limit = conf.FAILURE_LIMIT if _full else None
    if limit is None:
        return
    now = time.time()
    for name in _names(address, api_key, limit):
        ends_at = _full.get(name)
        if ends_at is None:
            continue
        if now < ends_at:
            raise Refused(
                Reason.TOO_MANY_FAILURES, api_key=api_key, retry_after=math.ceil(ends_at - now)
            )
        with _lock:
            _full.pop(name, None)


def count(address: str, api_key: str) -> None:
    """Count a failure. Where the cache does not answer, nothing is counted.

    Args:
        address: the client's, "" if unknown.
        api_key: the presented key.

    Raises:
        Refused: this one was too many.
    """
    limit = conf.FAILURE_LIMIT
    if limit is None:
        return
    now = time.time()
    window = int(now // limit.seconds)
    ends_at = (window + 1) * limit.seconds
    refuse = False
    for name, most in zip(
        _names(address, api_key, limit), (limit.number, limit.number * ADDRESS_FACTOR), strict=False
    ):
        failed = _add_one(f"{name}:{window}", limit)
        if failed >= most:
            _remember(name, ends_at)
        refuse = refuse or failed > most
    if refuse:
        raise Refused(
            Reason.TOO_MANY_FAILURES, api_key=api_key, retry_after=math.ceil(ends_at - now)
        )


def _names(address: str, api_key: str, limit: Rate) -> tuple[str, ...]:
    """What is counted: address and key, and the address."""
    network = _network(address)
    if not network:
        # Everyone would be counted together, and could lock out everyone else.
        return ()
    # With the rate, so that another one counts from then on.
    alone = f"{PREFIX}{limit.number}/{limit.seconds}:{network}"
    return f"{alone}|{api_key}", alone


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


def _remember(name: str, ends_at: float) -> None:
    with _lock:
        _full.pop(name, None)
        if len(_full) >= SIZE:
            del _full[next(iter(_full))]
        _full[name] = ends_at
