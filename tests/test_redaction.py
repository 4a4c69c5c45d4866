"""What clients chose, made fit for logs."""

import base64

import pytest

from frappe_tokens import crypto, redaction
from frappe_tokens.redaction import HIDDEN, WORD_LENGTH, printable, redacted, redacted_path

BODY = "fts_6gfM4BC8y7koK2YvgAaonVZLkh1BTjzBpk9KOKPA4RE"
SECRET = BODY + crypto.checksum(BODY)
KEY = "ftk_8o0DDDR5IXrWHVV5"
TOKEN = f"{KEY}:{SECRET}"
FRAPPE = "0a1b2c3d4e5f607:fedcba987654321"
BASE64 = base64.b64encode(TOKEN.encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "GET",
        "/api/resource/ToDo/TODO-2024-00012345",
        f"/api/keys/{KEY}/usage/",
        "/files/0b0f1a9e-52b5-4c5c-9c39-5f2a0a7b7c11/",
        "/files/" + "0b0f1a9e52b54c5c9c395f2a0a7b7c11" + "/",
        "/blog/the-2-fts_tokenizers-of-sqlite-and-what-they-are-really-good-for-in-practice/",
        "/api/getTheSubscriptionPreferencesOfTheLoggedInUser",
        "/api/fts_parser/12:30:15/",
        "/Ю/日本語",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0",
        "python-requests/2.32.3",
    ],
)
def test_leaves_what_is_ordinary_as_it_is(text):
    assert redacted(text, 200) == text
    assert redacted_path(text, 200) == text


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        (SECRET, f"fts_{HIDDEN}"),
        (SECRET[:-10], f"fts_{HIDDEN}"),
        *((piece, HIDDEN) for piece in (SECRET[:21], SECRET[4:], SECRET[-WORD_LENGTH:])),
        (SECRET.upper(), f"FTS_{HIDDEN}"),
        (TOKEN, f"{KEY}:fts_{HIDDEN}"),
        (TOKEN.replace(":", "%3A"), f"{KEY}%3Afts_{HIDDEN}"),
        (f"{SECRET}:{KEY}", f"fts_{HIDDEN}:{KEY}"),
        (BASE64.rstrip("="), HIDDEN),
        (base64.b64encode(FRAPPE.encode()).decode(), f"{HIDDEN}=="),
        *((pair, HIDDEN) for pair in (FRAPPE, FRAPPE.upper(), FRAPPE.replace(":", "%3a"))),
        ("9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b", HIDDEN),
    ],
)
@pytest.mark.parametrize(
    ("before", "after"), [("/", "/"), ("", ""), ("curl (", ")"), ("ключ=", " x"), ("/x-", "-x")]
)
def test_hides_secrets(secret, shown, before, after):
    assert redacted(before + secret + after, 500) == before + shown + after


def test_hides_secrets_with_a_former_prefix(settings):
    settings.FRAPPE_TOKENS = {"SECRET_PREFIX": "acme_s."}
    now = str(crypto.generate_api_secret())
    assert redacted(f"/x/{SECRET}/{now}/", 500) == f"/x/fts_{HIDDEN}/acme_s.{HIDDEN}/"
    assert redacted(f"/x/{now[:30]}/", 500) == f"/x/{HIDDEN}/"


def test_shows_api_keys_that_have_the_prefix_of_the_secrets(settings):
    settings.FRAPPE_TOKENS = {"KEY_PREFIX": "acme_", "SECRET_PREFIX": "acme_"}
    path = f"/api/keys/{crypto.generate_api_key()}/"
    assert redacted(path, 500) == path
    assert HIDDEN in redacted(f"/{str(crypto.generate_api_secret())[:22]}/", 500)


def test_hides_all_of_several():
    text = redacted(f"/{SECRET}/{FRAPPE}/{BASE64}/", 500)

    assert text == f"/fts_{HIDDEN}/{HIDDEN}/{HIDDEN}=/"


def test_hides_before_it_cuts():
    for place in range(60):
        text = redacted("-" * place + SECRET, 60)
        assert text == ("-" * place + "fts_" + HIDDEN)[:60]


@pytest.mark.parametrize("mark", ["?", "%3F", "%3f"])
def test_path_ends_where_its_query_begins(mark):
    assert redacted_path(f"/todos{mark}token=hunter2\nx?%3Fy", 500) == "/todos"
    assert redacted_path("/todos/100%25", 2) == "/t"


@pytest.mark.parametrize(
    "character",
    ["\n", "\r", "\0", "\x1b", "\x7f", "\x85", "\x9b", "\xad", "\u2028", "\u202e", "\ud800"],
)
def test_replaces_what_a_log_or_a_terminal_would_act_upon(character):
    assert redacted(f"/a{character}b", 500) == "/a\ufffdb"
    assert printable(f"a{character}b", 2) == "a\ufffd"


def test_pieces_of_secrets_are_longer_than_api_keys():
    assert redaction._PIECE_LENGTH == crypto.API_KEY_RANDOM_LENGTH + 1


def test_long_words_take_no_longer_for_being_long():
    """Anyone may send them. If each place were searched to the end, this would take hours."""
    assert redacted("a" * 2_000_000, 10) == "a" * 10
    assert redacted("a" * 2_000_000 + "1", 10) == HIDDEN
