"""Addresses, methods, scopes, and what widens a key."""

import pytest

from frappe_tokens import addresses, policy

from .client import NOON, TICK

PEER = "192.0.2.1"
# Not an address, or not one that is remembered.
NO_ADDRESSES = ["unknown", "_hidden, for=203.0.113.9", "203.0.113.9:4711:12", "1.2.3"]
NO_ADDRESSES += ["١٩٢.0.2.1", "203.0.113.9\x00", "," * 10_000, "1" * 100_000]


@pytest.mark.parametrize(
    ("forwarded_for", "num_proxies", "address"),
    [
        # No proxy is trusted: the header is ignored.
        ("203.0.113.9", None, PEER),
        ("203.0.113.9", 0, PEER),
        # One hop for each trusted proxy, counted from the end.
        ("203.0.113.9", 1, "203.0.113.9"),
        ("198.51.100.66, 203.0.113.9", 1, "203.0.113.9"),
        ("198.51.100.66,203.0.113.9 , 192.0.2.7", 2, "203.0.113.9"),
        # It did not come through all of them.
        ("203.0.113.9", 2, PEER),
        ("", 1, PEER),
        # A proxy that wrote nothing is a hop all the same: anyone may have sent the one before it.
        ("198.51.100.66, , 192.0.2.7", 2, ""),
        ("198.51.100.66,", 1, ""),
        # Forms.
        ("203.0.113.9:4711", 1, "203.0.113.9"),
        ("[2001:db8::9]:4711", 1, "2001:db8::9"),
        *((text, 1, "") for text in NO_ADDRESSES),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_client_address(forwarded_for, num_proxies, address):
    found = addresses.client_address(PEER, "X-Forwarded-For", forwarded_for, num_proxies)

    assert found == address


@pytest.mark.parametrize(
    ("remote_addr", "address"),
    [
        ("2001:0db8:0000::0001", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("fe80::1%" + "e" * 92, "fe80::1"),
        ("fe80::1%" + "e" * 93, ""),
        ("", ""),
    ],
)
def test_address_of_the_peer(remote_addr, address):
    assert addresses.client_address(remote_addr, "X-Forwarded-For", "", None) == address


NOT_ADDRESSES = ["for=unknown", "for=_hidden", 'for="_hidden:4711"', 'for=""', "for="]
MALFORMED = ["for=X203.0.113.9", "203.0.113.9", "for = 203.0.113.9", "for=203.0.113.9; proto=https"]
MALFORMED += ["for=203.0.113.9:4711", "for=[2001:db8::9]", 'for="2001:db8::9"']
MALFORMED += ['for="2001:db8::9:4711"', 'for="fe80::9%eth0"', 'for="\\203.0.113.9"']
MALFORMED += ["for=203.0.113.9;for=203.0.113.8", 'for="203.0.113.9', 'for="203.0.113.9"x']
MALFORMED += ['host="\x00";for=203.0.113.9', "for=٢٠٣.0.113.9"]
# As long as a server may allow.
LONG = [
    '"' + "," * 100_000,
    'a="x";' * 20_000 + "!",
    'a="' + '\\"' * 50_000,
    "for=" + "1" * 100_000,
]


@pytest.mark.parametrize(
    ("value", "num_proxies", "address"),
    [
        # No one is trusted, or the request came past the proxies.
        ("for=203.0.113.9", None, PEER),
        ("for=203.0.113.9", 0, PEER),
        (None, 1, PEER),
        (" ", 1, PEER),
        # One element for each trusted proxy, counted from the end.
        ("for=203.0.113.9", 1, "203.0.113.9"),
        ("for=198.51.100.66, for=203.0.113.9", 1, "203.0.113.9"),
        ("for=198.51.100.66,for=203.0.113.9\t,for=192.0.2.7", 2, "203.0.113.9"),
        ("proto=https;FOR=203.0.113.9;by=_edge", 1, "203.0.113.9"),
        ("for=203.0.113.9;;host=example.com;", 1, "203.0.113.9"),
        # Too few: a proxy may have dropped what it couldn't parse.
        ("for=203.0.113.9", 2, ""),
        # An element without an address counts all the same.
        ("for=198.51.100.66, , for=192.0.2.7", 2, ""),
        ("for=198.51.100.66, proto=https, for=192.0.2.7", 2, ""),
        ("for=198.51.100.66,", 1, ""),
        # Quoted strings: commas and parameters in them are text.
        ('for="203.0.113.9:4711", for=192.0.2.7;host="a,b,for=198.51.100.66"', 2, "203.0.113.9"),
        ('for=203.0.113.9, by="\\",for=198.51.100.66,\\\\"', 2, "203.0.113.9"),
        ('for=203.0.113.9;host="x;for=198.51.100.66"', 1, "203.0.113.9"),
        ('host="a\\,b";for=203.0.113.9', 1, "203.0.113.9"),
        # What clients send before it must not swallow what the proxy appends.
        ('for=", for=203.0.113.9', 1, "203.0.113.9"),
        ('for="\\, for="[2001:db8::9]"', 1, "2001:db8::9"),
        # Forms.
        ('for="[2001:db8::9]:4711"', 1, "2001:db8::9"),
        ('for="[2001:DB8:0::9]:_port.1-a"', 1, "2001:db8::9"),
        ('for="[::ffff:203.0.113.9]"', 1, "203.0.113.9"),
        ("," * 100_000 + '"', 2, ""),
        *((value, 1, "") for value in (*NOT_ADDRESSES, *MALFORMED, *LONG)),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_client_address_in_forwarded(value, num_proxies, address):
    assert addresses.client_address(PEER, "forwarded", value, num_proxies) == address


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        (" 203.0.113.9 ", "203.0.113.9"),
        ("2001:0db8::0009", "2001:db8::9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        (None, PEER),  # the request came past the proxy
        ("203.0.113.9%,198.51.100.66", ""),
        ("203.0.113.9 198.51.100.66", ""),
        *((f"203.0.113.9{more}", "") for more in (",", ",198.51.100.66")),
        *((value, "") for value in ("203.0.113.0/24", "for=203.0.113.9", "unknown", "")),
        ("1" * 100_000, ""),
    ],
    ids=lambda value: repr(value)[:60],
)
@pytest.mark.parametrize("num_proxies", [None, 0, 2])
def test_client_address_in_a_header_of_the_proxy(value, num_proxies, address):
    assert addresses.client_address(PEER, "X-Real-IP", value, num_proxies) == address


@pytest.mark.parametrize(
    ("networks", "address", "allowed"),
    [
        ([], "", True),
        # Without an address, a restricted key is of no use.
        (["0.0.0.0/0", "::/0"], "", False),
        (["0.0.0.0/0", "::/0"], "unknown", False),
        # An invalid network allows no address, and doesn't hide other networks.
        (["nonsense"], "192.0.2.1", False),
        (["192.0.2.7/24"], "192.0.2.7", False),
        (["nonsense", "192.0.2.0/24"], "192.0.2.1", True),
    ],
)
def test_address_allowed(networks, address, allowed):
    assert addresses.is_allowed(networks, address) is allowed


@pytest.mark.parametrize(
    "text",
    ["", "x", "192.0.2.1/33", "192.0.2.7/24", "2001:db8::/129", "fe80::1%eth0", "::1%,192.0.2.1"],
)
def test_refuses_what_is_no_network(text):
    with pytest.raises(ValueError, match=r"."):
        addresses.parse_network(text)


@pytest.mark.parametrize(
    ("methods", "allowed"),
    [
        *((method, True) for method in ("GET", "HEAD", "OPTIONS", "GET HEAD")),
        *((method, False) for method in ("POST", "DELETE", "TRACE", "get", "GET POST", "POST GET")),
    ],
)
def test_methods_of_a_read_only_key(methods, allowed):
    assert policy.are_safe(methods.split()) is allowed
    assert not policy.are_safe([""])


@pytest.mark.parametrize(
    ("held", "everything", "opens"),
    [
        (["all"], "all", True),
        (["todo", "all"], "all", True),
        (["todo"], "all", False),
        (["all"], "", False),
        ([""], "", False),
    ],
)
@pytest.mark.parametrize("required", [[], ["user"]])
def test_scope_that_opens_everything(settings, held, everything, required, opens):
    settings.FRAPPE_TOKENS = {"ALL_SCOPE": everything}

    assert policy.open_view(held, required) is opens


@pytest.mark.parametrize(
    ("moment", "ended"),
    [(NOON + TICK, False), (NOON, True), (NOON - TICK, True), (None, False)],
)
def test_what_ends_at_noon_has_ended_at_noon(moment, ended):
    assert policy.has_ended(moment, NOON) is ended


NO_POLICIES = {
    "scopes": [],
    "read_only": False,
    "allowed_ips": [],
    "rate_limit": "",
    "expires_at": None,
    "self_rotate": False,
}


@pytest.mark.parametrize(
    ("name", "before", "after", "widened"),
    [
        ("read_only", True, False, True),
        ("read_only", False, True, False),
        ("scopes", ["a", "b"], [], True),
        ("scopes", ["a", "b"], ["a", "c"], True),
        ("scopes", [], ["a"], False),
        ("scopes", ["a", "b"], ["b"], False),
        ("scopes", ["a", "b"], ["b", "a"], False),
        ("scopes", ["a"], ["all"], True),
        ("scopes", ["a"], ["b"], True),
        ("scopes", ["all"], ["a"], False),
        ("allowed_ips", ["192.0.2.0/24"], [], True),
        ("allowed_ips", ["192.0.2.0/24"], ["192.0.2.0/23"], True),
        ("allowed_ips", ["192.0.2.0/24"], ["192.0.2.7", "2001:db8::1"], True),
        ("allowed_ips", ["2001:db8::/32"], ["192.0.2.7"], True),
        ("allowed_ips", ["no network"], ["192.0.2.7"], True),
        ("allowed_ips", [], ["192.0.2.0/24"], False),
        ("allowed_ips", ["192.0.2.0/24", "2001:db8::/32"], ["192.0.2.7", "2001:db8::1"], False),
        ("allowed_ips", ["192.0.2.0/24"], ["::ffff:192.0.2.7"], False),
        ("rate_limit", "10/minute", "", True),
        ("rate_limit", "", "10/minute", True),
        ("rate_limit", "often", "10/minute", True),
        ("rate_limit", "10/minute", "11/minute", True),
        ("rate_limit", "60/minute", "2/s", True),
        ("rate_limit", "10/minute", "600/hour", True),
        ("rate_limit", "10/minute", "10/hour", False),
        ("rate_limit", "60/minute", "1/second", False),
        ("self_rotate", False, True, True),
        ("self_rotate", True, False, False),
        ("expires_at", NOON, None, True),
        ("expires_at", NOON, NOON + TICK, True),
        ("expires_at", None, NOON, False),
        ("expires_at", NOON, NOON - TICK, False),
    ],
)
def test_what_widens_a_key(settings, name, before, after, widened):
    settings.FRAPPE_TOKENS = {"ALL_SCOPE": "all"}

    found = policy.widened({**NO_POLICIES, name: before}, {**NO_POLICIES, name: after})

    assert found == ({name} if widened else set())
