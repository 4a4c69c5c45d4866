"""The patterns and the checksum of the page about leaked keys fit what the app generates."""

import re
import runpy

import pytest
import yaml
from django.test import Client

from frappe_tokens import crypto
from frappe_tokens.api.bodies import MAX_BYTES
from frappe_tokens.api.key_actions import MAX_FINDINGS
from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey

from .documentation import blocks, page

PAGE = page("how-to/revoke-a-leaked-key")
REPORTS = page("reference/http-api")
AROUND = ["{}", '"{}"', "'{}',", "SECRET={}\n", "x={}&y", "({})", "https://a:{}@b", "[{}]", "{}."]


ALONE, PAIR = (block.strip() for block in blocks(PAGE, "text"))
GITLEAKS = re.search(r"^regex = '''(.*)'''$", blocks(PAGE, "toml")[0], re.MULTILINE)[1]
(TRUFFLEHOG,) = yaml.safe_load(blocks(PAGE, "yaml")[0])["detectors"][0]["regex"].values()
(GITHUB,) = re.findall(r"with `(fts_.*?)`", PAGE)
PATTERNS = {"alone": ALONE, "gitleaks": GITLEAKS, "trufflehog": TRUFFLEHOG, "github": GITHUB}


def found(pattern, text):
    return [match[0] for match in re.finditer(pattern, text)]


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_patterns_find_secrets_whole(pattern):
    for text in AROUND * 20:
        secret, key = crypto.generate_api_secret(), crypto.generate_api_key()

        assert found(pattern, text.format(secret)) == [secret]
        assert found(pattern, text.format(f"{key}:{secret}")) == [secret]
        assert found(pattern, text.format(key)) == found(pattern, text.format(secret[:-1])) == []


def test_pattern_finds_pairs_whole():
    for text in AROUND * 20:
        secret, key = crypto.generate_api_secret(), crypto.generate_api_key()
        pair = f"{key}:{secret}"

        assert found(PAIR, text.format(pair)) == [pair]
        for other in (pair[:-1], secret, f"{pair}0", f"{key[:-1]}:{secret}", f"{key} {secret}"):
            assert found(PAIR, text.format(other)) == []


@pytest.mark.parametrize("pattern", [ALONE, GITLEAKS, TRUFFLEHOG])
@pytest.mark.parametrize("text", ["{}0", "{}_", "x{}"])
def test_patterns_cut_nothing_off(pattern, text):
    assert found(pattern, text.format(crypto.generate_api_secret())) == []


def test_page_names_the_lengths():
    (lengths,) = re.findall(r"`fts_`, (\d+) letters and digits, and (\d+) more of a checksum", PAGE)

    assert lengths == (str(crypto.API_SECRET_RANDOM_LENGTH), str(crypto.CHECKSUM_LENGTH))


def test_function_verifies_the_checksum(tmp_path):
    script = tmp_path / "checksum.py"
    script.write_text(blocks(PAGE, "python")[0])
    names = runpy.run_path(str(script))
    secrets = [crypto.generate_api_secret() for _ in range(200)]

    assert all(names["is_api_secret"](secret) for secret in secrets)
    for secret in secrets[:20]:
        for wrong in (secret[:-1], secret.swapcase(), f"{secret}0", secret[::-1]):
            assert not names["is_api_secret"](wrong)


def test_page_names_the_limits():
    assert f"more than {MAX_FINDINGS} findings" in REPORTS
    assert f"more than {MAX_BYTES // 1024} KiB" in REPORTS


@pytest.mark.django_db
def test_report_of_the_page_revokes_the_key(user):
    keys = generate_keys(user)
    (command,) = [block for block in blocks(PAGE, "sh") if "revoke-leaked" in block]
    path, kind, body = re.search(
        r"https://example.com(\S+).*-H 'Content-Type: (.*?)' -d '(.*?)'", command, re.DOTALL
    ).groups()

    response = Client().post(path, body.replace("fts_...", keys.api_secret), content_type=kind)

    assert response.status_code == 204
    assert ApiKey.objects.get().is_revoked
