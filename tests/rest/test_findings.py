"""``POST keys/revoke-leaked/`` with the findings of GitHub's secret scanning."""

import base64
import hashlib
import json
import sys
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from frappe_tokens import crypto
from frappe_tokens.api import signatures
from frappe_tokens.api.errors import Unavailable
from frappe_tokens.api.key_actions import MAX_FINDINGS
from frappe_tokens.api.signatures import FRESH, USABLE, WAIT, PublicKeys
from frappe_tokens.checks.configuration import check_settings
from frappe_tokens.conf import conf
from frappe_tokens.keys import generate_keys, revoke

from ..commands.running import serving
from .conftest import assert_refused, assert_unchanged, assert_wrong, works

pytestmark = pytest.mark.django_db

PRIVATE = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())
URL = "https://github.com/octocat/hello/blob/12345600b9cbe38a219f39a9941c9319b600c002/a.txt"


def pem(private):
    return private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def document(**keys):
    return json.dumps(
        {
            "public_keys": [
                {"key_identifier": name, "key": key.decode(), "is_current": True}
                for name, key in keys.items()
            ]
        }
    ).encode()


@pytest.fixture
def keys_at():
    """Serves the document of public keys."""
    served = SimpleNamespace(status=200, content=document(first=pem(PRIVATE)), headers={}, asked=[])

    def answer(path):
        served.asked.append(path)
        return served.status, served.content, served.headers

    with serving(answer) as url:
        served.url = f"{url}keys?of=scanning"
        yield served


@pytest.fixture(autouse=True)
def scanning(settings, keys_at):
    """Reports are on."""
    settings.FRAPPE_TOKENS = {"SECRET_SCANNING_KEYS_URL": keys_at.url}
    signatures.public_keys.reset()


def finding(token, **fields):
    return {"token": token, "type": "acme_api_secret", "url": URL, "source": "commit", **fields}


def sign(body, private=PRIVATE):
    return base64.b64encode(private.sign(body, ec.ECDSA(hashes.SHA256()))).decode()


def post(body, identifier="first", signature=None):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {
        "GITHUB-PUBLIC-KEY-IDENTIFIER": identifier,
        "Github-Public-Key-Signature": sign(body) if signature is None else signature,
    }
    return Client().post(
        "/api/keys/revoke-leaked/",
        body,
        "application/json",
        headers={name: value for name, value in headers.items() if value},
    )


def test_signed_findings_are_revoked_and_answered_with_feedback(keys, make_user):
    pair, ended = generate_keys(make_user("bea")), generate_keys(make_user("cy"))
    revoke(ended.instance)
    unknown = crypto.generate_api_secret()
    tokens = [keys.api_secret, pair.token, ended.api_secret, unknown, "", "\ud800", "x" * 9000]

    response = post([finding(str(token)) for token in tokens])

    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    assert response.json() == [
        {
            "token_hash": hashlib.sha256(token.encode("utf-8", "backslashreplace")).hexdigest(),
            "token_type": "acme_api_secret",
            "label": "true_positive" if number < 3 else "false_positive",
        }
        for number, token in enumerate(map(str, tokens))
    ]
    assert not works(keys.api_key, keys.api_secret)
    assert not works(pair.api_key, pair.api_secret)
    response = post([{"token": ended.api_secret}, finding("x", url="", type="")])
    assert [each["label"] for each in response.json()] == ["true_positive", "false_positive"]
    assert post([]).json() == []


@pytest.mark.parametrize("many", [MAX_FINDINGS, MAX_FINDINGS + 1])
def test_number_of_findings_is_limited(keys, many):
    response = post([{"token": "x"}] * (many - 1) + [{"token": keys.api_secret}])

    assert response.status_code == (200 if many == MAX_FINDINGS else 400)
    assert works(keys.api_key, keys.api_secret) == (many > MAX_FINDINGS)


@pytest.mark.parametrize("body", [[1], [[]], [{}], [{"token": 1}], [{"token": "x", "url": 1}]])
def test_signed_nonsense_is_refused(body):
    assert post(body).status_code == 400


UNSIGNED = {
    "no signature": {"signature": ""},
    "no identifier": {"identifier": ""},
    "unknown identifier": {"identifier": "second"},
    "no DER": {"signature": "AAAA"},
    "text": {"signature": "not Base64"},
    "Latin-1": {"signature": "ünïcode"},
    "other body": {"signature": sign(b"[]")},
    "other key": {},
}


@pytest.mark.parametrize("name", UNSIGNED)
def test_findings_without_a_valid_signature_change_nothing(keys, name):
    body = json.dumps([finding(keys.api_secret)]).encode()

    with assert_unchanged():
        response = post(body, **UNSIGNED[name] or {"signature": sign(body, OTHER)})

    assert_refused(response, 403, "invalid_signature")


def test_signature_is_of_the_bytes(keys):
    body = json.dumps([finding(keys.api_secret)], indent=4).encode()
    shorter = json.dumps(json.loads(body)).encode()

    with assert_unchanged():
        assert_refused(post(shorter, signature=sign(body)), 403, "invalid_signature")
    assert post(body).status_code == 200


@pytest.mark.parametrize(
    "key", [pem(rsa.generate_private_key(65537, 2048)), b"no PEM"], ids=["RSA", "text"]
)
def test_other_kinds_of_keys_sign_nothing(keys, keys_at, key):
    keys_at.content = document(first=key)

    with assert_unchanged():
        assert_refused(post([finding(keys.api_secret)]), 403, "invalid_signature")


def test_list_is_refused_unless_the_setting_is_on(keys, settings, keys_at):
    del settings.FRAPPE_TOKENS

    with assert_unchanged():
        response = post([finding(keys.api_secret)])

    assert_wrong(response, "non_field_errors", sentence="Send one token")
    assert keys_at.asked == []


def test_one_token_needs_no_signature(keys, keys_at):
    assert post({"token": keys.api_secret}, "", "").status_code == 204
    assert not works(keys.api_key, keys.api_secret)
    assert keys_at.asked == []


@pytest.mark.parametrize(
    ("status", "content", "headers"),
    [
        (500, b"", {}),
        (302, b"", {"Location": "/elsewhere"}),
        (200, b"no JSON", {}),
        (200, b"[" * 50_000, {}),
        (200, b"[]", {}),
        (200, b'{"public_keys": [{}]}', {}),
        (200, b'{"public_keys": 1}', {}),
        (200, document(first=pem(PRIVATE)) + b" " * 65_536, {}),
    ],
    ids=["error", "redirect", "text", "nested", "list", "incomplete", "number", "too large"],
)
def test_reports_are_unavailable_without_the_document(keys, keys_at, status, content, headers):
    keys_at.status, keys_at.content, keys_at.headers = status, content, headers

    with assert_unchanged():
        responses = [post([finding(keys.api_secret)]) for _ in range(2)]

    for response in responses:
        assert_refused(response, 503, "service_unavailable", "signature")
        assert response["Retry-After"]
    assert keys_at.asked == ["/keys?of=scanning"]


def test_server_that_is_away_makes_reports_unavailable(keys, settings, caplog):
    settings.FRAPPE_TOKENS = {"SECRET_SCANNING_KEYS_URL": "http://127.0.0.1:9/"}

    assert_refused(post([finding(keys.api_secret)]), 503, "service_unavailable")
    assert "can't be fetched" in caplog.text
    assert keys.api_secret not in caplog.text


@pytest.fixture
def at():
    """Public keys, and the clock that they go by: ``at[0]`` is now."""
    now = [1000.0]
    return PublicKeys(clock=lambda: now[0]), now


def test_document_is_fetched_once_an_hour(keys_at, at):
    keys, now = at

    for seconds in (0, WAIT, FRESH - 1, FRESH, FRESH + WAIT):
        now[0] = 1000 + seconds
        assert keys.find(keys_at.url, "first") == pem(PRIVATE).decode()

    assert len(keys_at.asked) == 2


def test_unknown_identifier_fetches_at_most_once_a_minute(keys_at, at):
    keys, now = at
    keys.find(keys_at.url, "first")
    keys_at.content = document(second=pem(OTHER))

    now[0] += WAIT - 1
    assert keys.find(keys_at.url, "second") is None
    now[0] += 1
    assert keys.find(keys_at.url, "second") == pem(OTHER).decode()
    assert keys.find(keys_at.url, "first") is None
    assert len(keys_at.asked) == 2


def test_old_keys_are_used_for_a_day_if_the_server_fails(keys_at, at):
    keys, now = at
    keys.find(keys_at.url, "first")
    keys_at.status = 500

    now[0] += USABLE - 1
    assert keys.find(keys_at.url, "first") == pem(PRIVATE).decode()
    now[0] += 1
    with pytest.raises(Unavailable):
        keys.find(keys_at.url, "first")


def test_another_url_has_other_keys(keys_at, at):
    keys, _ = at
    keys.find(keys_at.url, "first")
    keys_at.content = document(second=pem(OTHER))

    assert keys.find(f"{keys_at.url}#", "first") is None


def test_setting_needs_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)

    with pytest.raises(ImproperlyConfigured, match=r"pip install 'frappe-tokens\[scanning\]'"):
        _ = conf.SECRET_SCANNING_KEYS_URL
    (error,) = check_settings()
    assert (error.id, "frappe-tokens[scanning]" in error.msg) == ("frappe_tokens.E003", True)
