import hashlib
import hmac
import re
import string
from collections import Counter
from types import SimpleNamespace

import pytest

from frappe_tokens import crypto
from frappe_tokens.crypto import Secret

OLD = "the older pepper, long enough for HMAC"
NEW = "the newer pepper, long enough for HMAC"
HMAC = re.compile(r"hmac-sha256\$[0-9a-f]+\$[0-9a-f]{64}")


@pytest.mark.parametrize("prefixes", [("ftk_", "fts_"), ("acme-key.", "acme-secret.")])
def test_form_of_api_keys_and_secrets(settings, prefixes):
    settings.FRAPPE_TOKENS = dict(zip(("KEY_PREFIX", "SECRET_PREFIX"), prefixes, strict=True))
    of_key, of_secret = map(re.escape, prefixes)

    secret = crypto.generate_api_secret()

    assert re.fullmatch(f"{of_key}[0-9A-Za-z]{{16}}", crypto.generate_api_key())
    assert re.fullmatch(f"{of_secret}[0-9A-Za-z]{{43}}[0-9A-Za-z]{{6}}", secret)
    assert secret[-6:] == crypto.checksum(secret[:-6])
    assert crypto.has_valid_checksum(secret)


def draw(monkeypatch, *drawn):
    """Let the random bytes be those, one portion after the other."""
    portions = iter(drawn)
    source = SimpleNamespace(token_bytes=lambda count: next(portions))
    monkeypatch.setattr(crypto, "secrets", source)


def test_keys_and_secrets_come_from_the_secrets_module(monkeypatch):
    draw(monkeypatch, b"\x07" * 16, b"\x07" * 43)
    assert crypto.generate_api_key() == "ftk_" + "7" * 16
    assert crypto.generate_api_secret()[:-6] == "fts_" + "7" * 43


def test_every_character_is_as_likely_as_any_other(monkeypatch):
    drawn = []
    for byte in range(256):
        with monkeypatch.context() as patch:
            draw(patch, bytes([byte]), b"\x3d" * 16)
            drawn.append(crypto.generate_api_key()[4])
    counts = Counter(drawn[:248])
    assert set(counts) == set(string.ascii_letters + string.digits)
    assert set(counts.values()) == {4}
    assert drawn[248:] == ["z"] * 8  # of the next portion: these bytes would make it uneven


def test_repr_hides_a_secret():
    secret = Secret("canary")
    assert repr(secret) == f"{secret!r}" == ascii(secret) == "'********'"
    assert repr([secret]) == "['********']"
    assert repr({"a": secret}) == "{'a': '********'}"
    assert str(secret) == "canary"
    assert secret == "canary"
    assert "canary" not in repr(crypto.generate_api_secret())
    assert isinstance(crypto.generate_api_secret(), Secret)


def test_digest_with_and_without_pepper(settings):
    assert crypto.make_digest("secret") == "sha256$" + hashlib.sha256(b"secret").hexdigest()

    settings.FRAPPE_TOKENS = {"PEPPERS": [NEW, OLD]}
    digest = crypto.make_digest("secret")
    assert HMAC.fullmatch(digest)
    assert digest.endswith("$" + hmac.digest(NEW.encode(), b"secret", "sha256").hex())
    assert len(digest) <= crypto.DIGEST_MAX_LENGTH


def test_pepper_id_tells_peppers_apart_and_does_not_tell_the_pepper(settings):
    ids = set()
    for pepper in (OLD, NEW):
        settings.FRAPPE_TOKENS = {"PEPPERS": [pepper]}
        _, pepper_id, _ = crypto.make_digest("secret").split("$")
        assert pepper_id == crypto.make_digest("another secret").split("$")[1]
        assert pepper_id not in hashlib.sha256(pepper.encode()).hexdigest()
        assert pepper_id not in pepper.encode().hex()
        ids.add(pepper_id)
    assert len(ids) == 2


def test_digests_that_are_stored_keep_matching_after_an_upgrade(settings):
    hexadecimal = "618794be175a5a642a8d2e31f4713a17b550dd3a4c5f2f2df92d6095efa07b1e"
    settings.FRAPPE_TOKENS = {"PEPPERS": [OLD]}

    assert crypto.make_digest("secret") == f"hmac-sha256$b43acfe1${hexadecimal}"


PEPPERS = [[], [OLD], [NEW, OLD]]


def digest_with(settings, peppers, secret):
    settings.FRAPPE_TOKENS = {"PEPPERS": peppers}
    return crypto.make_digest(secret)


@pytest.mark.parametrize("of_older", PEPPERS)
@pytest.mark.parametrize("of_current", PEPPERS)
def test_older_secret_matches_whatever_pepper_the_current_one_has(settings, of_older, of_current):
    older = digest_with(settings, of_older, "older")
    current = digest_with(settings, of_current, "current")
    settings.FRAPPE_TOKENS = {"PEPPERS": [NEW, OLD]}

    assert crypto.matches_which("older", current, older) == (False, True)
    assert crypto.matches_which("current", current, older) == (True, False)
    assert crypto.matches_which("current", current, "") == (True, False)
    assert crypto.matches_which("wrong", current, older) == (False, False)
    assert crypto.matches_which("wrong", "", "") == (False, False)


def test_comparison_is_constant_time(monkeypatch):
    compared = []

    def compare_digest(one, other):
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(
        crypto, "hmac", SimpleNamespace(compare_digest=compare_digest, digest=hmac.digest)
    )
    digest = crypto.make_digest("secret")
    assert crypto.matches("secret", digest)
    assert not crypto.matches("wrong", digest)
    assert not crypto.matches("secret", "")
    assert [other for _, other in compared] == [digest, digest, ""]
