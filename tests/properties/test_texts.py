"""Text of clients: what logs show, and where OAuth 2 clients send users back to."""

from urllib.parse import urlencode, urlsplit

import httpx
import pytest
from django.http import QueryDict
from hypothesis import example, given
from hypothesis import strategies as st
from oauth2_provider.models import Application

from frappe_tokens.contrib.oauth2.redirects import is_loopback, is_private_use, is_safe, with_issuer
from frappe_tokens.contrib.oauth2.registered import allowed_scopes
from frappe_tokens.redaction import redacted, redacted_path

from .made import FRAPPE, GENERATED, encode

PIECE = 21  # of a secret, with its prefix: what an API key is long


def shown_pieces(secret, text):
    """Return the longer pieces of ``secret`` that ``text`` has."""
    starts = range(len(secret) - PIECE + 1)
    return [
        secret[start : start + PIECE] for start in starts if secret[start : start + PIECE] in text
    ]


TEXTS = st.text(max_size=20) | st.text("/?&=:%.-_ aZ9f", max_size=20)


@given(GENERATED, TEXTS, TEXTS, st.integers(0, 300))
@pytest.mark.parametrize("form", ["{0}:{1}", "{1}", "{1}:{0}", "{0}%3A{1}", "api_secret={1}&x"])
def test_text_with_a_token_is_shown_without_its_secret(form, pair, before, after, length):
    text = before + form.format(*pair) + after

    for shown in (redacted(text, length), redacted_path(text, length)):
        assert not shown_pieces(pair[1], shown)
        assert len(shown) <= length
        assert shown.isprintable()
    assert encode(":".join(pair)).rstrip("=") not in redacted(
        before + encode(":".join(pair)) + after, 500
    )


@given(FRAPPE, TEXTS, st.sampled_from(["", " ", "/", "&x=1", '"', "-", "\n", "g"]))
@pytest.mark.parametrize("form", ["{0}:{1}", "{0}%3A{1}", "{0}%3a{1}"])
def test_text_with_a_pair_of_a_frappe_site_is_shown_without_it(form, pair, before, after):
    shown = redacted(before + form.format(*pair) + after, 500)

    assert pair[1] not in shown
    assert pair[0] not in shown


URIS = st.lists(
    st.sampled_from(
        [
            *("https:", "http:", "com.example.app:", "javascript:", "data:", "//", "/", "///"),
            *(
                "app.example.com",
                "localhost",
                "127.0.0.1",
                "[::1]",
                "[::2]",
                "127.0.0.1.example.com",
            ),
            *("@", ":", ":8000", ":99999", "\\", "?", "#", "*", "%2f", ".", " ", "\t", "\n", "\0"),
            *("code=1", "&", "iss=", "a=b", "\xe9", "\uff0e", "\u3002", "user:password@"),
        ]
    ),
    max_size=6,
).map("".join)
SAFE = [
    *("https://app.example.com/callback", "https://app.example.com:8443/?a=b&iss=x"),
    *("http://127.0.0.1:8000/", "http://[::1]/", "http://localhost:1/?a", "com.example.app:/back"),
]
ISSUER = "https://example.com"


@st.composite
def damaged(draw):
    uri = draw(st.sampled_from(SAFE))
    place = draw(st.integers(0, len(uri)))
    return uri[:place] + draw(URIS) + uri[place + draw(st.integers(0, 2)) :]


@example(SAFE[0])
@given(URIS | damaged() | st.sampled_from(SAFE) | st.text(max_size=20))
def test_safe_redirect_leads_where_another_parser_says(uri):
    """No user is sent elsewhere because a browser reads an address in another way."""
    assert not is_loopback(uri) or uri.startswith("http://")
    if not is_safe(uri):
        assert uri not in SAFE
        return
    assert uri.isascii()
    assert not set("#*\\ \t\r\n\0") & set(uri)
    try:
        read = httpx.URL(uri)
    except httpx.InvalidURL:
        return
    assert not read.userinfo
    if is_loopback(uri):
        assert read.scheme == "http"
        assert read.host in ("127.0.0.1", "::1", "localhost")
    elif not is_private_use(uri):
        assert (read.scheme, read.host) == ("https", urlsplit(uri).hostname)


NAMES = st.sampled_from(["a", "iss", "code", "state", "é"])
PAIRS = st.lists(st.tuples(NAMES, st.text("ab&=+%# é", max_size=4)), min_size=1, max_size=5)


@given(st.sampled_from(["https://app.example.com/x", "com.example.app:/x"]), PAIRS)
@pytest.mark.parametrize("mark", ["?", "#"])
def test_issuer_is_in_the_response_once_and_nothing_else_changes(mark, uri, pairs):
    pairs = [("state", "x"), *pairs]

    answer = with_issuer(f"{uri}{mark}{urlencode(pairs)}", ISSUER)

    start, _, params = answer.partition(mark)
    others = [pair for pair in pairs if pair[0] != "iss"]
    assert start == uri
    assert QueryDict(params) == QueryDict(urlencode([*others, ("iss", ISSUER)]))


SCOPES = st.lists(st.sampled_from(["read", "todos", "all", "Read"]), max_size=4)


@given(SCOPES, SCOPES, st.sampled_from(["manual", "dcr", "cimd"]))
def test_unchecked_client_gets_no_scope_that_is_not_declared(settings, asked, declared, source):
    settings.FRAPPE_TOKENS = {"OAUTH_REGISTRATION_SCOPES": declared}
    client = Application(registration_source=source)

    got = allowed_scopes(client, asked)

    expected = asked if source == "manual" else [scope for scope in asked if scope in declared]
    assert got == expected
