import base64
from itertools import count

import pytest

from frappe_tokens import crypto
from frappe_tokens.credentials import (
    ACCESS_TOKEN_MAX_LENGTH,
    API_KEY_MAX_LENGTH,
    API_SECRET_MAX_LENGTH,
    Credential,
    looks_secret,
    parse,
)
from frappe_tokens.exceptions import Mistake

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


def test_splits_at_the_first_colon(scheme):
    ours = scheme != "basic"

    assert credential(scheme, "key:se:cr:et") == Credential(
        scheme, "key", "se:cr:et", ours=ours, well_formed=True
    )


@pytest.mark.parametrize("text", [None, "", "\t", "\x00", ":", "tokens a:b", "token_ a:b", "\xa0"])
def test_header_of_another_scheme_is_no_credential(scheme, text):
    others = [other for other in SCHEMES if other != scheme]

    assert parse(text, *SCHEMES) is None
    assert parse(header(scheme), *others) is None
    assert parse(header(scheme), *SCHEMES) == credential(scheme)


@pytest.mark.parametrize(
    "token",
    [
        TOKEN,
        f" \t{TOKEN} ",
        f"{FRAPPE_KEY}:{FRAPPE_SECRET}",
        f"{KEY}:{SECRET[:-1]}",
        f"legacy:{SECRET}",
        f"{KEY}\xa0:{SECRET}",
        f"{KEY}:{SECRET}, {KEY}:{SECRET}",
    ],
)
def test_our_token_without_a_scheme_is_malformed_for_the_first_scheme(scheme, token):
    others = [other for other in SCHEMES if other != scheme]

    parsed = parse(token, scheme, *others)

    mistake = Mistake[f"NO_{scheme.upper()}_SCHEME"]
    assert parsed == Credential(scheme, ours=True, mistake=mistake)
    assert parse(token) is None


OTHERS = [KEY, SECRET, f"{KEY}:", f"{KEY}:password", f"ada:{SECRET[:-1]}", f"ada:{FRAPPE_SECRET}"]
OTHERS += [FRAPPE_KEY + FRAPPE_SECRET, "eyJh.eyJz.c2ln", f"Digest {TOKEN}", f"{KEY} {SECRET}"]
OTHERS += [encode(TOKEN), TOKEN + "x" * 300, TOKEN * 100_000]


@pytest.mark.parametrize("text", OTHERS, ids=lambda text: repr(text[:60]))
def test_anything_else_without_a_scheme_is_left_to_others(text):
    assert parse(text, *SCHEMES) is None


@pytest.mark.parametrize(
    "rest", ["", " ", "\t", "  \t", "=x", ":a:b", ",", "\x00a:b", "\xa0a:b", "/"]
)
def test_scheme_alone_or_with_something_stuck_to_it_is_ours_to_refuse(scheme, rest):
    assert parse(scheme + rest, scheme) == Credential(scheme, ours=True)


MISTAKES = {
    Mistake.SECRET_MISSING: [KEY, f"{KEY}:", f"{FRAPPE_KEY}:"],
    Mistake.KEY_MISSING: [SECRET, f":{SECRET}", f"{SECRET}:", f":{FRAPPE_SECRET}"],
    Mistake.WRONG_ORDER: [f"{SECRET} :{KEY}"],
    Mistake.WRONG_CHECKSUM: [
        *(f"{KEY}:{SECRET[:-1]}", f"{KEY}:{SECRET[:-1]}{'1' if SECRET[-1] == '0' else '0'}"),
        *(f"{KEY}:fts_short", f"{KEY}:fts_", f'{KEY}:{SECRET}"', f"{KEY}:{SECRET}\x00"),
        *(f"{KEY}:{SECRET},token {KEY}:{SECRET}", f"{KEY}:{SECRET}, token {KEY}:{SECRET}"),
    ],
    None: [
        *(":", f"{KEY} :{SECRET}", f"{KEY}: {SECRET}", f"{KEY}\x00:{SECRET}", "0123456789abcdef"),
        *(f"{KEY}:{secret}" for secret in ("s\xe9cret", "\x7f", "se\tcret")),
        f"{KEY}:{'x' * (API_SECRET_MAX_LENGTH + 1)}",
        f"{'k' * (API_KEY_MAX_LENGTH + 1)}:secret",
    ],
}


@pytest.mark.parametrize(
    ("mistake", "token"),
    [(mistake, token) for mistake, tokens in MISTAKES.items() for token in tokens],
    ids=lambda value: repr(value[:90]) if isinstance(value, str) else str(value),
)
def test_malformed_pair_and_likely_mistake_are_recognized(scheme, token, mistake):
    parsed = credential(scheme, token)

    assert parsed.well_formed is False
    assert (parsed.scheme, parsed.api_key, parsed.api_secret) == (scheme, "", "")
    assert parsed.mistake is mistake


@pytest.mark.parametrize(
    "swapped",
    [
        SECRET,
        f"acme_{SECRET[4:-6]}{crypto.checksum('acme_' + SECRET[4:-6])}",
        SECRET[:-1],
        SECRET[:-20],
        SECRET[:21],
        f"{SECRET}0",
    ],
)
@pytest.mark.parametrize("secret", [KEY, SECRET])
def test_halves_in_the_wrong_order_are_refused_and_not_reported(scheme, swapped, secret):
    parsed = credential(scheme, f"{swapped}:{secret}")

    assert parsed == Credential(scheme, ours=True, mistake=Mistake.WRONG_ORDER)
    assert looks_secret(swapped)


def test_secret_alone_is_recognized_with_one_prefix_for_both(scheme, settings):
    settings.FRAPPE_TOKENS = {"KEY_PREFIX": "acme_", "SECRET_PREFIX": "acme_"}

    assert credential(scheme, crypto.generate_api_secret()).mistake is Mistake.KEY_MISSING
    assert credential(scheme, crypto.generate_api_key()).mistake is Mistake.SECRET_MISSING


def test_nothing_that_is_too_long_is_taken_apart(scheme, monkeypatch):
    needed = "base64" if scheme == "basic" else "crypto"
    monkeypatch.delattr(f"frappe_tokens.credentials.{needed}")
    parsed = parse(f"{scheme} {'a:' * 5_000_000}", scheme)
    assert parsed is not None
    assert not parsed.well_formed


def test_longest_pair(scheme):
    key, secret = "k" * API_KEY_MAX_LENGTH, "s" * API_SECRET_MAX_LENGTH
    assert credential(scheme, f"{key}:{secret}").well_formed


def test_longest_token_without_a_scheme():
    longest = f"{KEY:k<{API_KEY_MAX_LENGTH}}:{'fts_':s<{API_SECRET_MAX_LENGTH}}"

    assert parse(longest, "token") == Credential(
        "token", ours=True, mistake=Mistake.NO_TOKEN_SCHEME
    )
    assert parse(f"{longest}s", "token") is None


@pytest.mark.parametrize("last", ["\n", "\x0b", "\xa0"])
def test_only_spaces_and_tabs_after_a_token_without_a_scheme_are_ignored(last):
    assert parse(f"{FRAPPE_KEY}:{FRAPPE_SECRET}{last}", "token") is None


def test_no_letter_after_a_token_without_a_scheme_is_ignored():
    texts = (f"fts_{number:a>43}" for number in count())
    secrets = (text + crypto.checksum(text) for text in texts)
    secret = next(secret for secret in secrets if secret.endswith("X"))

    assert parse(f"legacy:{secret}", "token") is not None


@pytest.mark.parametrize("prefix", ["fts_", "fed"])
def test_pair_from_a_frappe_site_is_ours_whatever_it_begins_with(scheme, prefix, settings):
    settings.FRAPPE_TOKENS = {"SECRET_PREFIX": prefix}

    parsed = credential(scheme, f"{FRAPPE_KEY}:{FRAPPE_SECRET}")

    assert parsed == Credential(scheme, FRAPPE_KEY, FRAPPE_SECRET, ours=True, well_formed=True)


@pytest.mark.parametrize(
    ("scheme", "token", "ours"),
    [
        *(("token", token, True) for token in ("key:secret", SECRET)),
        *(("bearer", token, True) for token in ("key: secret", "ftk_a", SECRET)),
        *(("token", token, False) for token in ("a" * 40, "x y")),
        *(("basic", token, False) for token in ("ada:password", "ada:a password")),
        ("bearer", SECRET[:-1], False),
    ],
)
def test_credential_is_ours_by_its_form(scheme, token, ours):
    parsed = credential(scheme, token)

    assert (parsed.scheme, parsed.ours) == (scheme, ours)


@pytest.mark.parametrize(
    "opaque", ["a", "eyJh.eyJz.c2ln", "a" * 4096, "-._~+/09AZ==", "fts_a", SECRET]
)
def test_bearer_credential_that_is_no_pair_may_be_an_access_token(opaque):
    parsed = credential("bearer", opaque)

    assert parsed.access_token == opaque
    assert opaque not in repr(parsed) or opaque == "a"
    assert credential("token", opaque).access_token == ""


def test_access_token_that_is_too_long_is_recognized():
    assert credential("bearer", "a" * (ACCESS_TOKEN_MAX_LENGTH + 1)) == Credential(
        "bearer", mistake=Mistake.ACCESS_TOKEN_TOO_LONG
    )
    assert f"{ACCESS_TOKEN_MAX_LENGTH:,}" in str(Mistake.ACCESS_TOKEN_TOO_LONG.sentence)


@pytest.mark.parametrize(
    "value", ["x y", "=", "a=b", "a,b", '"a"', "\xe9", "a\x00", "a\n", "\u0661", "a\tb"]
)
def test_access_token_has_the_form_of_rfc_6750(value):
    assert parse(f"Bearer {value}", "bearer") == Credential("bearer")


BASE64 = encode(TOKEN)
STRANGE = [f'"{BASE64}"', BASE64 + "!", BASE64 + "=", BASE64 + "====", BASE64 + "\x00"]
STRANGE += [f"{BASE64[:8]}{between}{BASE64[8:]}" for between in (" ", "\n", "==")]
STRANGE += [BASE64 + "\xff", f"{BASE64},Basic {BASE64}", TOKEN, "=", "A" * 10_000_000]
STRANGE += [encode("key:secrets").rstrip("="), encode("key:~~~???").replace("/", "_")]
# Bits left over: "azpzMQ==" is the canonical form (RFC 4648, section 3.5).
STRANGE += ["azpzMR=="]


@pytest.mark.parametrize("value", STRANGE, ids=lambda value: repr(value[-20:]))
def test_base64_is_strict(value):
    assert credential("basic", "key:~~~???").well_formed

    assert not parse(f"Basic {value}", "basic").well_formed


@pytest.mark.parametrize(
    "api_key",
    [
        "",
        KEY,
        FRAPPE_KEY,
        "fts_" + "a" * 16,
        "fts_name-of-a-service-that-a-user-has-chosen",
        "a-name-of-a-service-that-a-user-has-chosen",
        "a" * API_KEY_MAX_LENGTH,
    ],
)
def test_what_is_no_secret_may_be_an_api_key(api_key):
    assert not looks_secret(api_key)


@pytest.mark.parametrize("prefixes", [("acme_", "acme_"), ("acmekeys", "acme")])
def test_api_keys_may_have_the_prefix_of_the_secrets(scheme, settings, prefixes):
    settings.FRAPPE_TOKENS = dict(zip(("KEY_PREFIX", "SECRET_PREFIX"), prefixes, strict=True))
    key, secret = crypto.generate_api_key(), crypto.generate_api_secret()
    assert credential(scheme, f"{key}:{secret}").api_key == key
    swapped = credential(scheme, f"{secret}:{key}")
    assert swapped == Credential(scheme, ours=True, mistake=Mistake.WRONG_ORDER)
