"""Pure questions about a key and a request. No query, no request object, no clock of their own."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from .rates import parse_rate

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Some proxies forward the client's port as well.
_WITH_PORT = re.compile(r"(?:(?P<ipv4>[0-9.]+)|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])(?::[0-9]+)?")


# With a port or the name of a network interface.
_ADDRESS_MAX_LENGTH = 100


def has_ended(moment: datetime | None, now: datetime) -> bool:
    """Whether an expiry or a grace is over. It is, from that very moment on; None never ends."""
    return moment is not None and now >= moment


def client_address(remote_addr: str, forwarded_for: str, num_proxies: int | None) -> str:
    """The address that a request came from, as text in its shortest form; "" if there is none.

    Args:
        remote_addr: the peer of the connection (``REMOTE_ADDR``).
        forwarded_for: the value of ``X-Forwarded-For``, or "". Anyone can send that header, so it
            is read only as far from its end as trusted proxies have written it.
        num_proxies: how many trusted proxies stand before the app. None and 0: none.
    """
    if not num_proxies:
        return _normalise(remote_addr)
    # An empty hop counts as one: left out, it would move what anyone can send into its place.
    hops = forwarded_for.split(",") if forwarded_for.strip() else []
    if len(hops) < num_proxies:
        # It did not come through all the proxies, so no hop is one that they vouch for.
        return _normalise(remote_addr)
    return _normalise(hops[-num_proxies].strip())


def address_allowed(networks: Collection[str], address: str) -> bool:
    """Whether ``address`` lies in one of ``networks`` (CIDR). No networks: every address may."""
    if not networks:
        return True
    parsed = parse_address(address)
    return parsed is not None and any(_contains(network, parsed) for network in networks)


def parse_address(text: str) -> Address | None:
    """``text`` as an address, an IPv4-mapped IPv6 address as the IPv4 one that it stands for."""
    with_port = _WITH_PORT.fullmatch(text)
    if with_port:
        text = with_port["ipv4"] or with_port["ipv6"]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])  # less the zone of a link
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def parse_network(text: str) -> Network:
    """``text`` (CIDR or one address) as a network.

    Raises:
        ValueError: if it is neither, or has bits set outside its mask.
    """
    if "%" in text:
        # The zone of a link may be any text at all, and says nothing to another machine.
        raise ValueError("An address with a zone is no network.")
    network = ipaddress.ip_network(text.strip())
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.ip_network(f"{mapped}/{network.prefixlen - 96}")
    return network


def method_allowed(read_only: bool, methods: Iterable[str]) -> bool:
    """Whether a key may use every one of ``methods``."""
    return not read_only or all(method in SAFE_METHODS for method in methods)


def required_scopes(view: object, method: str) -> tuple[str, ...]:
    """The scopes that ``view`` declares for a request; none where it declares nothing.

    Args:
        view: has ``required_scopes``: a list, words in a string, or a dictionary of these by the
            ``action`` of a viewset, or by the method in lower case.
        method: the request's, for a view without actions.
    """
    declared = getattr(view, "required_scopes", None)
    if isinstance(declared, Mapping):
        name = getattr(view, "action", None) or method.lower()
        if name == "head" and name not in declared:
            name = "get"  # Django answers HEAD by what it has for GET
        declared = declared.get(name, ())
    if isinstance(declared, str):
        return tuple(declared.split())
    return tuple(declared or ())


def widened(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """The policies by which a key that has those of ``after`` reaches further than ``before``.

    Args:
        before, after: ``scopes``, ``read_only``, ``allowed_ips``, ``rate_limit``, ``expires_at``.
    """
    reaches_further: dict[str, Callable[[Any, Any], bool]] = {
        "scopes": _more_scopes,
        "read_only": lambda held, asked: held and not asked,
        "allowed_ips": _more_networks,
        "rate_limit": _faster,
        "expires_at": _later,
    }
    return {
        name
        for name, further in reaches_further.items()
        if before[name] != after[name] and further(before[name], after[name])
    }


def _more_scopes(before: Collection[str], after: Collection[str]) -> bool:
    return bool(before) and not (after and set(after) <= set(before))


def _more_networks(before: Collection[str], after: Collection[str]) -> bool:
    if not before:
        return False
    try:
        held = [parse_network(network) for network in before]
        asked = [parse_network(network) for network in after]
    except ValueError:
        # Written past the validation. What cannot be understood allowed nobody.
        return True
    return not asked or not all(any(_lies_in(one, other) for other in held) for one in asked)


def _lies_in(network: Network, other: Network) -> bool:
    # Each asks after its own kind: the two families share no address.
    if isinstance(network, ipaddress.IPv4Network):
        return isinstance(other, ipaddress.IPv4Network) and network.subnet_of(other)
    return isinstance(other, ipaddress.IPv6Network) and network.subnet_of(other)


def _later(before: datetime | None, after: datetime | None) -> bool:
    return before is not None and (after is None or after > before)


def _faster(before: str, after: str) -> bool:
    """Another rate may not let more through, in any length of time."""
    if not before or not after:
        # Without one of its own, a key has the site's rate, of which nothing is known here.
        return True
    try:
        old, new = parse_rate(before), parse_rate(after)
    except ValueError:
        # Written past the validation. What cannot be understood lets nothing through.
        return True
    return new.number > old.number or new.number * old.seconds > old.number * new.seconds


def scopes_open(held: Collection[str], required: Collection[str]) -> bool:
    """Whether a key with the scopes ``held`` opens a view that requires ``required``.

    A key without scopes opens all; a scoped key opens nothing that declares no scopes.
    """
    return not held or (bool(required) and set(required) <= set(held))


def _contains(network: str, address: Address) -> bool:
    try:
        return address in parse_network(network)
    except ValueError:
        # Written past the validation. What cannot be understood allows nobody.
        return False


def _normalise(text: str) -> str:
    # Nothing longer is kept: X-Forwarded-For may be as long as a server takes a header.
    return _shortest_form(text) if len(text) <= _ADDRESS_MAX_LENGTH else ""


# Clients come again, and parsing takes as long as all else that a line of the log needs.
@lru_cache(maxsize=1024)
def _shortest_form(text: str) -> str:
    address = parse_address(text)
    return str(address) if address is not None else ""
