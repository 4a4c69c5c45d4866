"""What a browser reports about the page that made it send a request."""

import pytest
from django.test import AsyncRequestFactory, RequestFactory

from frappe_tokens.verification.browsers import from_another_site, may_be_browser

MOZILLA = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"

TRUSTED = ["https://app.example.com", "https://*.example.org"]


def request_of(site, origin, agent=None, **more):
    sent = {"Sec-Fetch-Site": site, "Origin": origin, "User-Agent": agent}
    headers = {name: value for name, value in sent.items() if value is not None}
    return RequestFactory().post("/", headers=headers, **more)


SAME_SITE = [
    (None, None),  # no browser
    # A page of this site, or the user
    *(("same-origin", origin) for origin in (None, "null")),
    *((site, "http://testserver") for site in ("none", None)),
    ("none", None),
    # Trusted
    ("cross-site", "https://app.example.com"),
    (None, "https://sub.example.org"),
    ("cross-site", "https://deep.sub.example.org"),
]
ANOTHER_SITE = [
    # Another scheme, host or port is another site
    *((None, f"http://testserver{more}") for more in (":8000", ".evil.example")),
    *((None, origin) for origin in ("null", "http://[broken")),
    *((None, f"{it}.org") for it in ("http://sub.example", "https://notexample")),
    (None, "http://app.example.com"),
    *(("cross-site", origin) for origin in (None, "null")),
    # A reload may repeat another site's form
    *(("none", origin) for origin in ("http://evil.example", "null")),
    ("cross-site", "http://testserver"),  # redirected by another site
    ("same-origin, cross-site", None),  # not sent by browsers
]


@pytest.mark.parametrize(("site", "origin"), [*SAME_SITE, *ANOTHER_SITE])
def test_origin_of_another_site(site, origin, settings):
    settings.CSRF_TRUSTED_ORIGINS = TRUSTED

    assert from_another_site(request_of(site, origin)) is ((site, origin) in ANOTHER_SITE)


def test_own_origin_is_the_one_behind_the_proxy(settings):
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.USE_X_FORWARDED_HOST = True
    settings.ALLOWED_HOSTS = ["example.com"]
    proxied = {"HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_FORWARDED_HOST": "example.com"}

    assert not from_another_site(request_of(None, "https://example.com", **proxied))
    assert from_another_site(request_of(None, "http://testserver", **proxied))


def test_host_that_is_not_allowed_has_no_origin(settings):
    settings.ALLOWED_HOSTS = ["example.com"]

    assert from_another_site(request_of(None, "http://testserver"))


@pytest.mark.parametrize(
    ("scheme", "origin", "another"),
    [
        ("ws", "http://testserver", False),
        ("wss", "https://testserver", False),
        ("wss", "http://testserver", True),
    ],
)
def test_page_of_a_websocket_has_the_scheme_of_http(scheme, origin, another):
    request = AsyncRequestFactory().get("/", headers={"Origin": origin})
    request.scope["scheme"] = scheme

    assert from_another_site(request) is another


@pytest.mark.parametrize(
    ("site", "origin", "agent", "maybe"),
    [
        (None, None, "curl/8.5.0", False),
        (None, None, "", False),
        (None, None, None, False),
        (None, None, "python-requests/2.32 (not Mozilla/5.0)", False),
        ("same-origin", None, MOZILLA, False),
        ("none", None, MOZILLA, True),
        ("cross-site", None, "curl/8.5.0", True),
        (None, "http://evil.example", "curl/8.5.0", True),
        (None, None, MOZILLA, True),
    ],
)
def test_may_be_browser(site, origin, agent, maybe):
    assert may_be_browser(request_of(site, origin, agent)) is maybe
