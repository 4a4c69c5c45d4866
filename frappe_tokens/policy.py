"""Pure questions about a key and a request. No query, no request object, no clock of their own."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable
from datetime import datetime

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Some proxies forward the client's port as well.
_WITH_PORT = re.compile(r"(?:(?P<ipv4>[0-9.]+)|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])(?::[0-9]+)?")


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
    network = ipaddress.ip_network(text.strip())
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.ip_network(f"{mapped}/{network.prefixlen - 96}")
    return network


def method_allowed(read_only: bool, methods: Iterable[str]) -> bool:
    """Whether a key may use every one of ``methods``."""
    return not read_only or all(method in SAFE_METHODS for method in methods)


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
    address = parse_address(text)
    return str(address) if address is not None else ""
