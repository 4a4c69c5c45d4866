"""Made-up credentials, headers, addresses and networks, and what they mean."""

import base64
import ipaddress
import string
from typing import NamedTuple

from hypothesis import strategies as st

from frappe_tokens import crypto

BASE62 = string.digits + string.ascii_letters
# What may be in a well-formed pair.
SECRET_CHARACTERS = "".join(map(chr, range(0x21, 0x7F)))
KEY_CHARACTERS = SECRET_CHARACTERS.replace(":", "")

SCHEMES = ["token", "basic", "bearer"]
LATIN_1 = st.characters(max_codepoint=255)


def base62(number, length):
    digits = ""
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits = crypto.BASE62[digit] + digits
    return digits


def random_base62(length):
    return st.integers(0, 62**length - 1).map(lambda number: base62(number, length))


def complete(body):
    """Return a secret with its checksum."""
    return body + crypto.checksum(body)


API_KEYS = random_base62(16).map("ftk_{}".format)
API_SECRETS = random_base62(43).map(lambda body: complete(f"fts_{body}"))
GENERATED = st.tuples(API_KEYS, API_SECRETS)
FRAPPE_HALVES = st.integers(0, 16**15 - 1).map("{:015x}".format)
FRAPPE = st.tuples(FRAPPE_HALVES, FRAPPE_HALVES)
# No name of a key looks like a secret, and a secret with our prefix needs a checksum.
IMPORTED = st.tuples(
    st.text(KEY_CHARACTERS, min_size=1, max_size=64).filter(lambda key: "fts_" not in key),
    st.text(SECRET_CHARACTERS, min_size=1, max_size=256).filter(
        lambda secret: secret[:4] != "fts_"
    ),
)


def encode(text):
    return base64.b64encode(text.encode("latin-1")).decode()


def value_of(scheme, api_key, api_secret):
    """Return what stands behind the scheme in the header."""
    token = f"{api_key}:{api_secret}"
    return encode(token) if scheme.lower() == "basic" else token


class Span(NamedTuple):
    """A network, or an address: how it may be written, and what it contains."""

    text: str
    version: int
    first: int
    last: int

    def contains(self, other):
        return self.version == other.version and self.first <= other.first <= self.last


# Most are close to one another, so that networks contain them.
_NUMBERS_4 = st.integers(0, 15).map((0xC0000200).__add__) | st.integers(0, 2**32 - 1)
_NUMBERS_6 = st.integers(0, 15).map((0x20010DB8 << 96).__add__) | st.integers(2**64, 2**128 - 1)


@st.composite
def networks(draw):
    if draw(st.booleans()):
        prefix = draw(st.integers(24, 32) | st.integers(0, 32))
        first = draw(_NUMBERS_4) >> (32 - prefix) << (32 - prefix)
        last = first | ((1 << (32 - prefix)) - 1)
        dotted = ipaddress.IPv4Address(first)
        mask = ipaddress.IPv4Address(first ^ last ^ (2**32 - 1))
        texts = [f"{dotted}/{prefix}", f"{dotted}/{mask}", f"::ffff:{dotted}/{prefix + 96}"]
        if prefix == 32:
            texts += [str(dotted), f"::FFFF:{first >> 16:x}:{first & 0xFFFF:x}"]
        return Span(draw(st.sampled_from(texts)), 4, first, last)
    prefix = draw(st.integers(120, 128) | st.integers(0, 128))
    first = draw(_NUMBERS_6) >> (128 - prefix) << (128 - prefix)
    last = first | ((1 << (128 - prefix)) - 1)
    short, long = (ipaddress.IPv6Address(first), ipaddress.IPv6Address(first).exploded)
    texts = [f"{short}/{prefix}", f"{long.upper()}/{prefix}", f" {short}/{prefix} "]
    return Span(draw(st.sampled_from(texts)), 6, first, last)


@st.composite
def addresses(draw):
    if draw(st.booleans()):
        number = draw(_NUMBERS_4)
        dotted = ipaddress.IPv4Address(number)
        mapped = f"::ffff:{number >> 16:x}:{number & 0xFFFF:x}"
        texts = [str(dotted), f"{dotted}:4711", f"::ffff:{dotted}", f"[{mapped}]:80"]
        return Span(draw(st.sampled_from(texts)), 4, number, number)
    number = draw(_NUMBERS_6)
    address = ipaddress.IPv6Address(number)
    texts = [str(address), address.exploded.upper(), f"[{address}]:4711", f"{address}%eth0"]
    return Span(draw(st.sampled_from(texts)), 6, number, number)


def shortest(address):
    kind = ipaddress.IPv4Address if address.version == 4 else ipaddress.IPv6Address
    return str(kind(address.first))
