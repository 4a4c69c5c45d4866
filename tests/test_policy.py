from datetime import datetime, timedelta, timezone

import pytest

from frappe_tokens import addresses, policy

NOON = datetime(2024, 2, 29, 12, tzinfo=timezone.utc)
TICK = timedelta(microseconds=1)


def test_an_expiry_has_come_from_that_very_moment_on():
    assert not policy.has_ended(NOON, NOON - TICK)
    assert policy.has_ended(NOON, NOON)
    assert policy.has_ended(NOON, NOON + TICK)
    assert not policy.has_ended(None, NOON)


@pytest.mark.parametrize(
    ("remote_addr", "forwarded_for", "num_proxies", "address"),
    [
        # Nobody is trusted: the header says nothing.
        ("192.0.2.1", "", None, "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9", None, "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9", 0, "192.0.2.1"),
        # One hop for each trusted proxy, counted from the end.
        ("192.0.2.1", "203.0.113.9", 1, "203.0.113.9"),
        ("192.0.2.1", "198.51.100.66, 203.0.113.9", 1, "203.0.113.9"),
        ("192.0.2.1", "198.51.100.66,203.0.113.9 , 192.0.2.7", 2, "203.0.113.9"),
        # It did not come through all of them.
        ("192.0.2.1", "203.0.113.9", 2, "192.0.2.1"),
        ("192.0.2.1", "", 1, "192.0.2.1"),
        ("192.0.2.1", " ", 1, "192.0.2.1"),
        # A proxy that wrote nothing is a hop all the same: the one before it is anybody's.
        ("192.0.2.1", "198.51.100.66, , 192.0.2.7", 2, ""),
        ("192.0.2.1", "198.51.100.66,", 1, ""),
        # Forms.
        ("192.0.2.1", "203.0.113.9:4711", 1, "203.0.113.9"),
        ("192.0.2.1", "[2001:db8::9]:4711", 1, "2001:db8::9"),
        ("192.0.2.1", "[2001:db8::9]", 1, "2001:db8::9"),
        ("2001:0db8:0000::0001", "", None, "2001:db8::1"),
        ("::ffff:192.0.2.1", "", None, "192.0.2.1"),
        ("fe80::1%eth0", "", None, "fe80::1"),
        # No address at all.
        ("", "", None, ""),
        ("unix:", "", None, ""),
        ("192.0.2.1", "unknown", 1, ""),
        ("192.0.2.1", "_hidden, for=203.0.113.9", 1, ""),
        ("192.0.2.1", "203.0.113.9:4711:12", 1, ""),
        ("192.0.2.1", "1.2.3", 1, ""),
        ("192.0.2.1", "١٩٢.0.2.1", 1, ""),
        ("192.0.2.1", "203.0.113.9\x00", 1, ""),
        ("192.0.2.1", "9" * 10_000, 1, ""),
        ("192.0.2.1", "," * 10_000, 3, ""),
    ],
)
def test_client_address(remote_addr, forwarded_for, num_proxies, address):
    assert addresses.client_address(remote_addr, forwarded_for, num_proxies) == address


@pytest.mark.parametrize(
    ("networks", "address", "allowed"),
    [
        ([], "192.0.2.1", True),
        ([], "", True),
        (["192.0.2.1"], "192.0.2.1", True),
        (["192.0.2.1"], "192.0.2.2", False),
        (["192.0.2.0/24"], "192.0.2.255", True),
        (["192.0.2.0/24"], "192.0.3.0", False),
        (["198.51.100.0/24", "192.0.2.0/24"], "192.0.2.9", True),
        (["0.0.0.0/0"], "203.0.113.9", True),
        (["2001:db8::/32"], "2001:db8:ffff::1", True),
        (["2001:db8::/32"], "2001:db9::1", False),
        (["2001:db8::1"], "2001:0DB8:0:0::1", True),
        # The two families do not mix, but for an IPv4 address in IPv6's clothes.
        (["0.0.0.0/0"], "2001:db8::1", False),
        (["192.0.2.0/24"], "::ffff:192.0.2.1", True),
        (["192.0.2.0/24"], "::ffff:c000:0201", True),
        (["::ffff:192.0.2.0/120"], "192.0.2.1", True),
        (["::ffff:192.0.2.0/120"], "192.0.3.1", False),
        (["::ffff:192.0.2.1"], "::ffff:192.0.2.1", True),
        ([" 192.0.2.0/24 "], "192.0.2.1", True),
        # A restricted key is of no use to somebody from nowhere.
        (["0.0.0.0/0", "::/0"], "", False),
        (["0.0.0.0/0", "::/0"], "unknown", False),
        # What cannot be understood allows nobody, and hides nobody else.
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
        (["GET"], True),
        (["HEAD"], True),
        (["OPTIONS"], True),
        (["POST"], False),
        (["PUT"], False),
        (["PATCH"], False),
        (["DELETE"], False),
        (["TRACE"], False),
        (["PROPFIND"], False),
        (["get"], False),
        ([""], False),
        (["GET", "POST"], False),
        (["POST", "GET"], False),
        (["GET", "HEAD"], True),
    ],
)
def test_methods_of_a_read_only_key(methods, allowed):
    assert policy.method_allowed(True, methods) is allowed
    assert policy.method_allowed(False, methods) is True


@pytest.mark.parametrize(
    ("held", "required", "opens"),
    [
        ([], [], True),
        ([], ["todo"], True),
        (["todo"], [], False),
        (["todo"], ["todo"], True),
        (["todo", "user"], ["todo"], True),
        (["todo"], ["todo", "user"], False),
        (["todo"], ["user"], False),
        (["todo"], ["Todo"], False),
        (["todo"], ["tod"], False),
    ],
)
def test_scopes(held, required, opens):
    assert policy.scopes_open(held, required) is opens


NO_POLICIES = {
    "scopes": [],
    "read_only": False,
    "allowed_ips": [],
    "rate_limit": "",
    "expires_at": None,
}


@pytest.mark.parametrize(
    ("policy_name", "before", "after"),
    [
        ("read_only", True, False),
        ("scopes", ["a", "b"], []),
        ("scopes", ["a", "b"], ["a", "c"]),
        ("allowed_ips", ["192.0.2.0/24"], []),
        ("allowed_ips", ["192.0.2.0/24"], ["192.0.2.0/23"]),
        ("allowed_ips", ["192.0.2.0/24"], ["192.0.2.7", "2001:db8::1"]),
        ("allowed_ips", ["2001:db8::/32"], ["192.0.2.7"]),
        ("allowed_ips", ["no network"], ["192.0.2.7"]),
        ("rate_limit", "10/minute", ""),
        ("rate_limit", "", "10/minute"),
        ("rate_limit", "often", "10/minute"),
        ("rate_limit", "10/minute", "11/minute"),
        ("rate_limit", "10/minute", "10/s"),
        ("rate_limit", "60/minute", "2/s"),
        ("rate_limit", "10/minute", "600/hour"),
        ("expires_at", NOON, None),
        ("expires_at", NOON, NOON + TICK),
    ],
)
def test_widens(policy_name, before, after):
    assert policy.widened(
        {**NO_POLICIES, policy_name: before}, {**NO_POLICIES, policy_name: after}
    ) == {policy_name}


@pytest.mark.parametrize(
    ("policy_name", "before", "after"),
    [
        ("read_only", False, True),
        ("read_only", True, True),
        ("scopes", [], ["a"]),
        ("scopes", ["a", "b"], ["b"]),
        ("allowed_ips", [], ["192.0.2.0/24"]),
        ("allowed_ips", ["192.0.2.0/24", "2001:db8::/32"], ["192.0.2.7", "2001:db8::1"]),
        ("allowed_ips", ["192.0.2.0/24"], ["::ffff:192.0.2.7"]),
        ("rate_limit", "10/minute", "10/minute"),
        ("rate_limit", "10/minute", "10/hour"),
        ("expires_at", None, NOON),
        ("expires_at", NOON, NOON - TICK),
    ],
)
def test_narrows(policy_name, before, after):
    assert not policy.widened(
        {**NO_POLICIES, policy_name: before}, {**NO_POLICIES, policy_name: after}
    )


def test_what_is_too_long_for_an_address_is_none():
    assert addresses.client_address("fe80::1%" + "e" * 80, "", None) == "fe80::1"
    assert addresses.client_address("fe80::1%" + "e" * 200, "", None) == ""
    assert addresses.client_address("192.0.2.1", "1" * 100_000, 1) == ""
