"""Addresses, rates, scopes, and policies that never allow more than they seem to."""

import ipaddress
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.contrib.auth import get_user_model
from django.test import RequestFactory
from hypothesis import assume, example, given
from hypothesis import strategies as st
from rest_framework.throttling import SimpleRateThrottle

from frappe_tokens import addresses as ours
from frappe_tokens import policy
from frappe_tokens.models import ApiKey
from frappe_tokens.rates import Rate, parse_rate
from frappe_tokens.verification.decision import RequestInfo, _reason_against

from ..client import NOON
from .made import LATIN_1, addresses, networks, shortest

PEER = "192.0.2.1"


@given(st.lists(networks(), max_size=3), addresses())
def test_address_is_allowed_if_a_network_contains_it(allowed, address):
    found = ours.is_allowed([network.text for network in allowed], address.text)

    assert found == (not allowed or any(network.contains(address) for network in allowed))


@given(networks())
def test_network_has_one_shortest_form(network):
    text = ours.shortest_network(network.text)

    parsed = ipaddress.ip_network(text)
    assert (parsed.version, int(parsed[0]), int(parsed[-1])) == (
        network.version,
        network.first,
        network.last,
    )
    assert ours.shortest_network(text) == text
    assert ("/" in text) == (network.first != network.last)


@example("192.0.2.0/24\x00")
@example("1" * 200)
@given(st.text(max_size=30) | st.text("0123456789abcdef.:/%[]", max_size=30))
def test_any_text_is_an_address_or_not_an_error(text):
    address = ours.parse_address(text)

    assert address is None or ipaddress.ip_address(str(address)) == address
    assert ours.client_address(text, "X-Real-IP", None, None) == (
        "" if address is None else str(address)
    )
    assert ours.is_allowed(["0.0.0.0/0", "::/0"], text) == (address is not None)
    assert not ours.is_allowed([text], "unknown")


def forwarded(draw, address):
    """Return an element as a proxy appends it, perhaps with more, which may have commas."""
    plain = shortest(address)
    node = plain if address.version == 4 else f'"[{plain}]:4711"'
    more = draw(
        st.sampled_from(["", ";proto=https", ';host="a,for=198.51.100.66"', ';by="\\",\\\\"'])
    )
    return f"for={node}{more}"


@given(
    st.data(),
    st.text(LATIN_1, max_size=12) | st.text('for=";,\\ ', max_size=12),
    st.lists(addresses(), min_size=1, max_size=3),
)
@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
def test_client_cannot_choose_what_trusted_proxies_append(header, data, sent, hops):
    """Whatever the client sent in the same header."""
    appended = [forwarded(data.draw, hop) if header == "Forwarded" else hop.text for hop in hops]
    value = ",".join([sent, *appended])

    found = ours.client_address(PEER, header, value, len(hops))

    assert found == shortest(hops[0])


@example("100/minute")
@example("1/s 2")
@given(
    st.builds(
        "{}/{}".format,
        st.integers(0, 10**10),
        st.sampled_from(["s", "min", "hour", "day", "year", ""]),
    )
    | st.text("0123456789/-. smhday\u0661", max_size=12)
)
def test_rate_is_read_as_drf_reads_it(text):
    try:
        rate = parse_rate(text)
    except ValueError:
        return
    assert rate == Rate(*SimpleRateThrottle.parse_rate(None, text))
    assert text.replace("/", "").isalnum()


SCOPES = st.sampled_from(["a", "b", "A", "all", "a:write"])
MOMENTS = st.integers(-2, 2).map(lambda hours: NOON + timedelta(hours=hours))
POLICIES = st.fixed_dictionaries(
    {
        "scopes": st.lists(SCOPES, max_size=3),
        "read_only": st.booleans(),
        "allowed_ips": st.lists(networks().map(lambda network: network.text), max_size=2),
        "rate_limit": st.sampled_from(["", "1/s", "60/minute", "100/hour", "often"]),
        "expires_at": st.none() | MOMENTS,
        "self_rotate": st.booleans(),
    }
)
REQUESTS = st.builds(
    SimpleNamespace,
    method=st.sampled_from(["GET", "HEAD", "POST", "DELETE"]),
    address=addresses(),
    now=MOMENTS,
    required=st.lists(SCOPES, max_size=2),
)


def is_accepted(policies, request):
    key = ApiKey(user=get_user_model()(is_active=True), **policies)
    view = SimpleNamespace(required_scopes=request.required)
    sent = RequestFactory().generic(request.method, "/", REMOTE_ADDR=request.address.text)
    return _reason_against(key, RequestInfo(sent, view), request.now, False) is None


def narrowed(draw, policies):
    """Return ``policies`` with one restriction more."""
    name = draw(st.sampled_from([*policies]))
    value = policies[name]
    if name in ("scopes", "allowed_ips"):
        some = (
            st.lists(st.sampled_from(value), min_size=1)
            if value
            else POLICIES.map(lambda other: other[name])
        )
        stricter = draw(some)
    elif name == "expires_at":
        stricter = draw(MOMENTS)
        assume(value is None or stricter <= value)
    elif name == "rate_limit":
        stricter = value
    else:
        stricter = name == "read_only"
    return {**policies, name: stricter}


@given(st.data(), POLICIES, REQUESTS, st.sampled_from(["", "all"]))
def test_restriction_never_makes_a_refused_request_accepted(
    settings, data, policies, request, everything
):
    settings.FRAPPE_TOKENS = {"ALL_SCOPE": everything}
    stricter = narrowed(data.draw, policies)

    assert is_accepted(policies, request) or not is_accepted(stricter, request)
    assert policy.widened(policies, stricter) == set()


@given(POLICIES, POLICIES, REQUESTS, st.sampled_from(["", "all"]))
def test_change_that_widens_nothing_lets_nothing_more_in(
    settings, before, after, request, everything
):
    settings.FRAPPE_TOKENS = {"ALL_SCOPE": everything}
    # One at a time, as most would widen something.
    for name in before:
        changed = {**before, name: after[name]}
        if not policy.widened(before, changed):
            assert is_accepted(before, request) or not is_accepted(changed, request)


@given(st.lists(SCOPES, max_size=3), st.lists(SCOPES, max_size=3), st.sampled_from(["", "all"]))
def test_scopes_open_what_requires_no_others(settings, held, required, everything):
    settings.FRAPPE_TOKENS = {"ALL_SCOPE": everything}

    opens = ApiKey(scopes=held).opens(required)

    missing = [scope for scope in required if scope not in held]
    has_all = bool(everything) and everything in held
    assert opens == (not held or has_all or bool(required and not missing))
