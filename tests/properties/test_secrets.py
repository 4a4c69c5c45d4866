"""Checksums and digests."""

import hashlib
import hmac
import zlib

from hypothesis import example, given
from hypothesis import strategies as st

from frappe_tokens import crypto

from .made import API_SECRETS, BASE62, complete

SECRETS = API_SECRETS | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
PEPPERS = st.lists(st.text(min_size=32, max_size=40, alphabet=BASE62), max_size=3, unique=True)
ONE = "a pepper that is long enough for HMAC"


@example("123456789")
@example("")
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_checksum_is_the_crc_32_as_six_digits(text):
    number = 0
    for digit in crypto.checksum(text):
        number = number * 62 + crypto.BASE62.index(digit)

    assert number == zlib.crc32(text.encode())
    assert len(crypto.checksum(text)) == 6


@given(API_SECRETS, st.data())
def test_checksum_finds_what_was_changed(secret, data):
    start = data.draw(st.integers(0, len(secret) - 1))
    # CRC-32 is certain to find a change of four bytes in a row.
    end = data.draw(st.integers(start + 1, min(start + 4, len(secret))))
    other = data.draw(
        st.text(st.characters(max_codepoint=127), min_size=end - start, max_size=end - start)
    )
    changed = secret[:start] + other + secret[end:]

    assert crypto.has_valid_checksum(secret)
    if end <= len(secret) - 6 or start >= len(secret) - 6:
        assert crypto.has_valid_checksum(changed) == (changed == secret)


@example("a" * 43)  # a secret without its prefix
@given(st.text(max_size=60))
def test_checksum_counts_in_a_text_of_the_length_of_a_secret(body):
    if body.isascii():
        assert crypto.has_valid_checksum(complete(body)) == (len(body) > 43)
    assert crypto.has_valid_checksum(body) in (False, True)


@given(SECRETS, SECRETS, PEPPERS, st.data())
def test_digest_matches_its_secret_alone(settings, secret, other, peppers, data):
    """Made with any of the peppers, or without one."""
    made_with = data.draw(st.lists(st.sampled_from([*peppers, ONE]), max_size=1))
    settings.FRAPPE_TOKENS = {"PEPPERS": made_with}
    digest = crypto.make_digest(secret)
    settings.FRAPPE_TOKENS = {"PEPPERS": peppers}
    known = set(made_with) <= set(peppers)

    assert crypto.matches(secret, digest) == known
    assert (digest in crypto.possible_digests(secret)) == known
    assert crypto.is_current(digest) == (made_with == peppers[:1])
    assert crypto.matches(other, digest) == (known and other == secret)
    assert len(digest) <= crypto.DIGEST_MAX_LENGTH
    expected = (
        hmac.new(made_with[0].encode(), secret.encode(), "sha256").hexdigest()
        if made_with
        else hashlib.sha256(secret.encode()).hexdigest()
    )
    assert digest.endswith(f"${expected}")


@example("secret", [], "sha256$\xe9")
@example("secret", [ONE], "hmac-sha256$")
@example("", [], "")
@given(
    SECRETS,
    PEPPERS,
    st.text(max_size=130)
    | st.builds("{}${}".format, st.sampled_from(["sha256", "md5"]), st.text()),
)
def test_nothing_matches_what_is_not_a_digest(settings, secret, peppers, stored):
    """Not even an exception: the column may hold anything."""
    settings.FRAPPE_TOKENS = {"PEPPERS": peppers}

    assert not crypto.matches(secret, stored)
    assert crypto.matches_which(secret, stored, stored) == (False, False)


@given(SECRETS, PEPPERS, st.data())
def test_damaged_digest_matches_nothing(settings, secret, peppers, data):
    settings.FRAPPE_TOKENS = {"PEPPERS": peppers}
    digest = crypto.make_digest(secret)
    start = data.draw(st.integers(0, len(digest)))
    damaged = (
        digest[:start]
        + data.draw(st.text(max_size=2))
        + digest[start + data.draw(st.integers(0, 2)) :]
    )
    same = damaged == digest

    assert crypto.matches(secret, damaged) == same
    assert crypto.matches_which(secret, digest, damaged) == (True, same)
    assert crypto.matches_which(secret, damaged, digest) == (same, True)
