"""Client addresses and networks. Pure functions: no request and no settings."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from functools import lru_cache
from typing import Any

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Some proxies forward the client's port as well.
_WITH_PORT = re.compile(r"(?:(?P<ipv4>[0-9.]+)|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])(?::[0-9]+)?")

# Long enough for an address with a port or the name of a network interface.
_MAX_LENGTH = 100


def client_address(remote_addr: str, forwarded_for: str, num_proxies: int | None) -> str:
    """Return the address that a request came from, in its shortest form; "" if there is none.

    Args:
        remote_addr: the other end of the connection (``REMOTE_ADDR``).
        forwarded_for: the value of ``X-Forwarded-For``, or "". Anyone can send that header, so
            only the part at its end that trusted proxies have written is read.
        num_proxies: how many trusted proxies stand before the app. None and 0 mean none.
    """
    if not num_proxies:
        return _normalize(remote_addr)
    # An empty hop counts: skipping it would move a hop that anyone can send into its place.
    hops = forwarded_for.split(",") if forwarded_for.strip() else []
    if len(hops) < num_proxies:
        # The request didn't pass all proxies, so they vouch for none of the hops.
        return _normalize(remote_addr)
    return _normalize(hops[-num_proxies].strip())


def is_allowed(networks: Collection[str], address: str) -> bool:
    """Whether ``address`` is in one of ``networks`` (CIDR). An empty collection allows all."""
    if not networks:
        return True
    parsed = parse_address(address)
    return parsed is not None and any(_contains(network, parsed) for network in networks)


def parse_address(text: str) -> Address | None:
    """Parse an address. An IPv4-mapped IPv6 address becomes the IPv4 address."""
    with_port = _WITH_PORT.fullmatch(text)
    if with_port:
        text = with_port["ipv4"] or with_port["ipv6"]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])  # without an interface's name
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def parse_network(text: str) -> Network:
    """Parse a network in CIDR notation, or a single address.

    Raises:
        ValueError: it is neither, or has bits set outside its mask.
    """
    if "%" in text:
        # The name of an interface may be any text, and means nothing on another machine.
        raise ValueError("An address with the name of an interface is not a network.")
    network = ipaddress.ip_network(text.strip())
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.ip_network(f"{mapped}/{network.prefixlen - 96}")
    return network


def is_wider(before: Collection[str], after: Collection[str]) -> bool:
    """Whether the networks ``after`` allow an address that the networks ``before`` don't."""
    if not before:
        return False
    try:
        old = [parse_network(network) for network in before]
        new = [parse_network(network) for network in after]
    except ValueError:
        # Written past the validation. An invalid network allows nobody.
        return True
    return not new or not all(any(_is_within(one, other) for other in old) for one in new)


def _is_within(network: Any, other: Any) -> bool:
    # The two families share no address.
    return network.version == other.version and bool(network.subnet_of(other))


def _contains(network: str, address: Address) -> bool:
    try:
        return address in parse_network(network)
    except ValueError:
        # Written past the validation. An invalid network allows nobody.
        return False


def _normalize(text: str) -> str:
    # Longer texts are not cached: X-Forwarded-For may be as long as the server allows.
    return _shortest_form(text) if len(text) <= _MAX_LENGTH else ""


# Clients return, and parsing takes as long as all the rest of a row in the request log.
@lru_cache(maxsize=1024)
def _shortest_form(text: str) -> str:
    address = parse_address(text)
    return str(address) if address is not None else ""
