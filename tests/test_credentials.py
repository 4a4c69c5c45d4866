import base64
import random

import pytest

from frappe_tokens import crypto
from frappe_tokens.credentials import (
    API_KEY_MAX_LENGTH,
    API_SECRET_MAX_LENGTH,
    Credential,
    looks_secret,
    parse,
)
from frappe_tokens.crypto import Secret

KEY = "ftk_0123456789abcdef"
SECRET = "fts_" + "a" * 43 + crypto.checksum("fts_" + "a" * 43)
TOKEN = f"{KEY}:{SECRET}"
FRAPPE_KEY, FRAPPE_SECRET = "0a1b2c3d4e5f607", "fedcba987654321"
SCHEMES = ["token", "basic", "bearer"]


def encode(text):
    return base64.b64encode(text.encode("latin-1")).decode()


def header(scheme, token=TOKEN):
    return f"{scheme} {encode(token) if scheme.lower() == 'basic' else token}"


def credential(scheme, token=TOKEN):
    parsed = parse(header(scheme, token), scheme)
    assert parsed is not None
    return parsed


@pytest.fixture(params=SCHEMES)
def scheme(request):
    return request.param


def test_reads_a_pair(scheme):
    assert credential(scheme) == Credential(scheme, KEY, SECRET, ours=True, well_formed=True)


def test_splits_at_the_first_colon(scheme):
    assert credential(scheme, "key:se:cr:et") == Credential(
        scheme, "key", "se:cr:et", ours=scheme != "basic", well_formed=True
    )


@pytest.mark.parametrize("spelling", [str.lower, str.upper, str.title, str.swapcase])
def test_case_of_the_scheme_does_not_matter(scheme, spelling):
    _, value = header(scheme).split()
    parsed = parse(f"{spelling(scheme)} {value}", scheme)
    assert parsed == credential(scheme)


@pytest.mark.parametrize("before", [" ", "  ", "\t", " \t \t"])
@pytest.mark.parametrize("after", ["", " ", "\t", " \t "])
def test_spaces_and_tabs_may_stand_around_the_credential(scheme, before, after):
    _, value = header(scheme).split()
    assert parse(f"{scheme}{before}{value}{after}", scheme) == credential(scheme)


@pytest.mark.parametrize("before", [" ", "\t", " \t "])
def test_spaces_and_tabs_before_the_scheme_hide_no_credential(scheme, before):
    assert parse(before + header(scheme), scheme) == credential(scheme)


@pytest.mark.parametrize("space", ["\xa0", "\x0b", "\x0c", "\r", "\n", "\x1c", "\x85", "\u2003"])
def test_nothing_else_is_trimmed(scheme, space):
    _, value = header(scheme).split()
    for text in (
        f"{scheme}{space}{value}",
        f"{scheme} {space}{value}",
        f"{scheme} {value}{space}",
        f"{scheme} {value}{space} ",
    ):
        parsed = parse(text, scheme)
        assert parsed is not None
        assert not parsed.well_formed


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        " ",
        "\t",
        "\x00",
        ":",
        "Digest x",
        "Tokens a:b",
        "token_ a:b",
        '"token" a:b',
        "\xa0",
    ],
)
def test_header_of_nobodys_scheme_is_no_credential(scheme, text):
    assert parse(text, scheme) is None


def test_header_of_another_scheme_is_no_credential(scheme):
    for other in set(SCHEMES) - {scheme}:
        assert parse(header(other), scheme) is None


@pytest.mark.parametrize(
    "rest", ["", " ", "\t", "  \t", "=x", ":a:b", ",", "\x00a:b", "\xa0a:b", "/"]
)
def test_scheme_alone_or_with_something_stuck_to_it_is_ours_to_refuse(scheme, rest):
    assert parse(scheme + rest, scheme) == Credential(scheme, ours=True)


@pytest.mark.parametrize(
    "token",
    [
        ":",
        f"{KEY}:",
        f":{SECRET}",
        KEY,
        SECRET,
        f"{KEY} :{SECRET}",
        f"{KEY}: {SECRET}",
        f"{KEY}:{SECRET} x",
        f"{KEY}:{SECRET},token {KEY}:{SECRET}",
        f"{KEY}:{SECRET}, token {KEY}:{SECRET}",
        f"{KEY}\x00:{SECRET}",
        f"{KEY}:{SECRET}\x00",
        f"{KEY}:\x00",
        f"\xff{KEY}:{SECRET}",
        f"{KEY}:{SECRET}\xff",
        f"{KEY}:s\xe9cret",
        f"{KEY}:\x7f",
        f"{KEY}:se\tcret",
        f"{KEY}:{'x' * (API_SECRET_MAX_LENGTH + 1)}",
        f"{'k' * (API_KEY_MAX_LENGTH + 1)}:secret",
        ":" * 1_000_000,
        "a" * 10_000_000,
        f"{KEY}:" + "a" * 10_000_000,
    ],
    ids=lambda token: repr(token[:30]),
)
def test_refuses_what_is_no_well_formed_pair(scheme, token):
    parsed = credential(scheme, token)
    assert not parsed.well_formed
    assert (parsed.api_key, parsed.api_secret) == ("", "")


def test_nothing_that_is_too_long_is_taken_apart(scheme, monkeypatch):
    needed = "base64" if scheme == "basic" else "crypto"
    monkeypatch.delattr(f"frappe_tokens.credentials.{needed}")
    parsed = parse(f"{scheme} {'a:' * 5_000_000}", scheme)
    assert parsed is not None
    assert not parsed.well_formed


def test_longest_pair(scheme):
    key, secret = "k" * API_KEY_MAX_LENGTH, "s" * API_SECRET_MAX_LENGTH
    assert credential(scheme, f"{key}:{secret}").well_formed


def test_secret_with_our_prefix_and_a_wrong_checksum_is_malformed(scheme):
    wrong = SECRET[:-1] + ("0" if SECRET[-1] != "0" else "1")
    assert not credential(scheme, f"{KEY}:{wrong}").well_formed
    assert not credential(scheme, f"{KEY}:fts_short").well_formed
    assert not credential(scheme, f"{KEY}:fts_").well_formed


def test_secret_with_a_former_prefix_is_well_formed_and_ours(scheme, settings):
    settings.FRAPPE_TOKENS = {"KEY_PREFIX": "acme_", "SECRET_PREFIX": "acmes_"}
    parsed = credential(scheme)
    assert parsed.well_formed
    assert parsed.ours


def test_pair_from_a_frappe_site_is_well_formed_and_ours(scheme):
    parsed = credential(scheme, f"{FRAPPE_KEY}:{FRAPPE_SECRET}")
    assert parsed == Credential(scheme, FRAPPE_KEY, FRAPPE_SECRET, ours=True, well_formed=True)


def test_pair_from_a_frappe_site_works_under_a_prefix_that_it_happens_to_bear(scheme, settings):
    settings.FRAPPE_TOKENS = {"SECRET_PREFIX": "fed"}
    assert credential(scheme, f"{FRAPPE_KEY}:{FRAPPE_SECRET}").well_formed


def test_username_and_password_are_not_ours():
    parsed = credential("basic", "ada:a password")
    assert not parsed.ours
    parsed = credential("basic", "ada:password")
    assert not parsed.ours
    assert parsed.well_formed


@pytest.mark.parametrize("opaque", ["a" * 40, "eyJh.eyJz.c2ln", "a" * 2000, "x y"])
def test_opaque_token_is_not_ours(opaque):
    assert parse(f"token {opaque}", "token") == Credential("token")


@pytest.mark.parametrize("opaque", ["a", "eyJh.eyJz.c2ln", "a" * 4096, "-._~+/09AZ==", "fts_a"])
def test_bearer_credential_that_is_no_pair_may_be_an_access_token(opaque):
    parsed = credential("bearer", opaque)
    assert parsed == Credential("bearer", access_token=Secret(opaque))
    assert opaque not in repr(parsed) or opaque == "a"
    assert credential("token", opaque).access_token == ""


@pytest.mark.parametrize(
    "value", ["x y", "a" * 4097, "=", "a=b", "a,b", '"a"', "\xe9", "a\x00", "a\n", "\u0661", "a\tb"]
)
def test_access_token_has_the_form_of_rfc_6750(value):
    assert parse(f"Bearer {value}", "bearer") == Credential("bearer")


def test_key_without_its_secret_is_no_access_token():
    assert parse("Bearer ftk_a", "bearer") == Credential("bearer", ours=True)


@pytest.mark.parametrize("scheme", ["token", "bearer"])
def test_pair_is_ours_by_its_colon(scheme):
    assert credential(scheme, "key:secret").ours
    assert credential(scheme, "key: secret").ours


@pytest.mark.parametrize(
    "value",
    [
        f'"{encode(TOKEN)}"',
        f"'{encode(TOKEN)}'",
        encode(TOKEN) + "!",
        encode(TOKEN) + "=",
        encode(TOKEN) + "==",
        encode(TOKEN) + "====",
        encode(TOKEN) + encode("x"),
        encode("a:bc") + "=",
        encode("a:b").rstrip("=") + "=" * 3,
        encode("key:secrets").rstrip("="),
        encode("key:secret?>~").replace("/", "_").replace("+", "-"),
        encode(TOKEN)[:8] + " " + encode(TOKEN)[8:],
        encode(TOKEN)[:8] + "\t" + encode(TOKEN)[8:],
        encode(TOKEN)[:8] + "\n" + encode(TOKEN)[8:],
        encode(TOKEN)[:8] + "==" + encode(TOKEN)[8:],
        "=" + encode(TOKEN),
        encode(TOKEN) + "\x00",
        encode(TOKEN) + "\xff",
        encode(TOKEN) + "\xa0",
        encode(TOKEN) + "," + encode(TOKEN),
        f"{encode(TOKEN)},Basic {encode(TOKEN)}",
        TOKEN,
        "=",
        "A" * 10_000_000,
    ],
    ids=lambda value: repr(value[-20:]),
)
def test_base64_is_strict(value):
    parsed = parse(f"Basic {value}", "basic")
    assert parsed is not None
    assert not parsed.well_formed


def test_base64_with_bits_left_over_is_refused():
    # Four ways to write the same byte; RFC 4648, section 3.5, has one canonical.
    assert encode("k:s1") == "azpzMQ=="
    for value in ("azpzMR==", "azpzMS==", "azpzMf=="):
        parsed = parse(f"Basic {value}", "basic")
        assert parsed is not None
        assert not parsed.well_formed


def test_url_safe_alphabet_is_not_base64():
    assert "/" in encode("key:~~~???")
    assert credential("basic", "key:~~~???").well_formed
    parsed = parse("Basic " + encode("key:~~~???").replace("/", "_"), "basic")
    assert parsed is not None
    assert not parsed.well_formed


@pytest.mark.parametrize(
    "swapped",
    [
        f"{SECRET}:{KEY}",
        f"{SECRET}:{SECRET}",
        f"{SECRET}:fts_short",
        f"{SECRET}:x",
        f"acme_{SECRET[4:-6]}{crypto.checksum('acme_' + SECRET[4:-6])}:{KEY}",
        f"{SECRET[:-1]}:{KEY}",
        f"{SECRET[:-20]}:{KEY}",
        f"{SECRET[:21]}:{KEY}",
        f"{SECRET}0:{KEY}",
    ],
)
def test_halves_in_the_wrong_order_are_refused_and_not_reported(scheme, swapped):
    assert credential(scheme, swapped) == Credential(scheme, ours=True)
    assert looks_secret(swapped.partition(":")[0])


@pytest.mark.parametrize(
    "api_key",
    [
        "",
        KEY,
        FRAPPE_KEY,
        "fts_" + "a" * 16,
        "fts_name-of-a-service-that-somebody-chose",
        "a-name-of-a-service-that-somebody-chose",
        "a" * API_KEY_MAX_LENGTH,
    ],
)
def test_what_is_no_secret_may_be_an_api_key(api_key):
    assert not looks_secret(api_key)


def test_api_keys_may_have_the_prefix_of_the_secrets(scheme, settings):
    settings.FRAPPE_TOKENS = {"KEY_PREFIX": "acme_", "SECRET_PREFIX": "acme_"}
    key, secret = crypto.generate_api_key(), crypto.generate_api_secret()
    assert credential(scheme, f"{key}:{secret}").api_key == key
    assert credential(scheme, f"{secret}:{key}") == Credential(scheme, ours=True)
    settings.FRAPPE_TOKENS = {"KEY_PREFIX": "acmekeys", "SECRET_PREFIX": "acme"}
    key, secret = crypto.generate_api_key(), crypto.generate_api_secret()
    assert credential(scheme, f"{key}:{secret}").api_key == key
    assert credential(scheme, f"{secret}:{key}") == Credential(scheme, ours=True)


def test_repr_hides_the_secret(scheme):
    parsed = credential(scheme)
    assert SECRET not in repr(parsed)
    assert SECRET not in repr([parsed.api_secret])
    assert KEY in repr(parsed)


def test_never_raises_and_never_lets_a_bad_part_through():
    source = random.Random(20240229)
    alphabet = [
        *"abz059AZ:_-.=+/,\"' \t\r\n\x00\x7f\x80\x85\xa0\xff",
        "ftk_",
        "fts_",
        KEY,
        SECRET,
        TOKEN,
        encode(TOKEN),
        encode(":"),
        encode("a:b\x00"),
        encode("a:\xff"),
        FRAPPE_KEY,
        FRAPPE_SECRET,
        "x" * 60,
        "x" * 260,
        "token ",
        "Basic ",
        "BEARER ",
        "\u0130",
        "\u212a",
        "\ud800",
    ]
    well_formed = 0
    for _ in range(30_000):
        scheme = source.choice(SCHEMES)
        text = "".join(source.choices(alphabet, k=source.randint(0, 8)))
        if source.random() < 0.3:
            text = base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()
        if source.random() < 0.8:
            text = scheme + source.choice([" ", "\t", "  ", ""]) + text
        for named in SCHEMES:
            parsed = parse(text, named)
            if parsed is None:
                continue
            assert parsed.scheme == named
            if not parsed.well_formed:
                assert (parsed.api_key, parsed.api_secret) == ("", "")
                continue
            well_formed += 1
            assert 0 < len(parsed.api_key) <= API_KEY_MAX_LENGTH
            assert 0 < len(parsed.api_secret) <= API_SECRET_MAX_LENGTH
            for part in (parsed.api_key, parsed.api_secret):
                assert all("!" <= character <= "~" for character in part)
            assert ":" not in parsed.api_key
            if parsed.api_secret.startswith("fts_"):
                assert crypto.has_valid_checksum(parsed.api_secret)
    assert well_formed > 100
