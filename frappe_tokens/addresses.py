"""Client addresses and networks. Nothing here reads a request or a setting."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Some proxies append the client's port, or in Forwarded a name for it.
_WITH_PORT = re.compile(
    r"(?:(?P<ipv4>[0-9.]+)|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])(?::(?:[0-9]+|_[0-9A-Za-z._-]+))?"
)

# The headers that proxies append to, in lower case.
X_FORWARDED_FOR = "x-forwarded-for"
FORWARDED = "forwarded"

# The grammar of Forwarded (RFC 7239, sections 4 and 6).
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED_PAIR = r"\\[\t -~\x80-\xff]"
_QUOTED = rf'"(?:[\t !#-\[\]-~\x80-\xff]|{_QUOTED_PAIR})*"'
_PAIR = rf"{_WORD}=(?:{_WORD}|{_QUOTED})"
_ELEMENT = re.compile(rf"(?:{_PAIR})?(?:;(?:{_PAIR})?)*")
_PAIRS = re.compile(_PAIR)
_ESCAPED = re.compile(_QUOTED_PAIR)

# Long enough for an address with a port or the name of a network interface.
_MAX_LENGTH = 100


def client_address(
    remote_addr: str, header: str, value: str | None, num_proxies: int | None
) -> str:
    """Return the address that a request came from, in its shortest form; "" if there is none.

    ``X-Forwarded-For`` and ``Forwarded`` (RFC 7239) are lists to which each proxy appends. Anyone
    can send them, so only the end that trusted proxies have written is read. Any other header has
    one address, and must be overwritten by the proxy.

    Args:
        remote_addr: the other end of the connection (``REMOTE_ADDR``).
        header: the name of the header with the client's address.
        value: its value; None if the request doesn't have it.
        num_proxies: how many trusted proxies append to a list. None and 0 mean none.
    """
    if value is None:
        return _normalize(remote_addr)
    name = header.lower()
    if name not in (X_FORWARDED_FOR, FORWARDED):
        # A header that was sent twice arrives as one value, with a comma.
        return _normalize(value.strip()) if "," not in value else ""
    if not num_proxies or not value.strip():
        return _normalize(remote_addr)
    if name == FORWARDED:
        # If there are too few elements, none counts: a proxy drops those that it can't parse.
        element = next(islice(_forwarded_elements(value), num_proxies - 1, None), "")
        return _normalize(_forwarded_node(element.strip()))
    # An empty hop counts. Otherwise, one that anyone can send would take its place.
    hops = value.split(",")
    if len(hops) < num_proxies:
        # The request didn't pass all proxies, so no hop can be trusted.
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


def parse_network(text: str, *, strict: bool = True) -> Network:
    """Parse a network in CIDR notation, or a single address.

    Args:
        strict: refuse bits outside the mask, as in 127.0.0.1/8. Otherwise they are ignored.

    Raises:
        ValueError: it is neither, or has bits set outside its mask.
    """
    if "%" in text:
        # The name of an interface may be any text, and means nothing on another machine.
        raise ValueError("An address with the name of an interface is not a network.")
    network = ipaddress.ip_network(text.strip(), strict)
    # Only those within ::ffff:0:0/96 begin with a mapped address.
    if isinstance(network, ipaddress.IPv6Network):
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.ip_network(f"{mapped}/{network.prefixlen - 96}")
    return network


def shortest_network(text: str) -> str:
    """Return a valid network in its one form: shortened, and a single address without a mask."""
    network = parse_network(text)
    is_single = network.prefixlen == network.max_prefixlen
    return str(network.network_address if is_single else network)


def meant_network(text: str) -> str:
    """Return the network that 127.0.0.1/8 probably means, 127.0.0.0/8; "" if it is no network.

    Nobody means all addresses who writes one of them.
    """
    try:
        network = parse_network(text, strict=False)
    except ValueError:
        return ""
    return str(network) if network.prefixlen else ""


def is_wider(before: Collection[str], after: Collection[str]) -> bool:
    """Whether the networks ``after`` allow an address that the networks ``before`` don't."""
    if not before:
        return False
    try:
        old: list[Any] = [parse_network(network) for network in before]
        new: list[Any] = [parse_network(network) for network in after]
    except ValueError:
        return True  # stored without validation
    return not new or not all(
        any(one.version == other.version and one.subnet_of(other) for other in old) for one in new
    )


def _contains(network: str, address: Address) -> bool:
    try:
        return address in parse_network(network)
    except ValueError:
        return False  # stored without validation


def _forwarded_elements(value: str) -> Iterator[str]:
    """Yield the elements of ``Forwarded``, the last one first. Quoted strings may have commas.

    Anyone can send the beginning. A quote that is opened there must not hide what proxies append.
    """
    parts: list[str] = []
    quotes = 0
    for part in reversed(value.split(",")):
        parts.append(part)
        quotes += _ESCAPED.sub("", part).count('"')
        if quotes % 2 == 0:
            yield ",".join(reversed(parts))
            parts.clear()
    if parts:
        yield ",".join(reversed(parts))


def _forwarded_node(element: str) -> str:
    """Return the address of ``for`` in an element, perhaps with a port; "" if there is none.

    "unknown" and names such as "_hidden" are not addresses. IPv6 addresses must be in brackets.
    """
    if not _ELEMENT.fullmatch(element):
        return ""
    pairs = (pair.partition("=") for pair in _PAIRS.findall(element))
    nodes = [value.strip('"') for name, _, value in pairs if name.lower() == "for"]
    return nodes[0] if len(nodes) == 1 and _WITH_PORT.fullmatch(nodes[0]) else ""


def _normalize(text: str) -> str:
    # X-Forwarded-For may be as long as the server allows.
    return _shortest_form(text) if len(text) <= _MAX_LENGTH else ""


# Cached, because parsing takes as long as the rest of a row in the request log.
@lru_cache(maxsize=1024)
def _shortest_form(text: str) -> str:
    address = parse_address(text)
    return str(address) if address is not None else ""
