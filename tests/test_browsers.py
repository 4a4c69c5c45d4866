"""What a browser reports about the page that made it send a request."""

import pytest
from django.test import AsyncRequestFactory, RequestFactory

from frappe_tokens.verification.browsers import from_another_site, may_be_browser

MOZILLA = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"

TRUSTED = ["https://app.example.com", "https://*.example.org"]


def asked(site, origin, **more):
    sent = {"Sec-Fetch-Site": site, "Origin": origin}
    headers = {name: value for name, value in sent.items() if value is not None}
    return RequestFactory().post("/", headers=headers, **more)


@pytest.mark.parametrize(
    ("site", "origin", "another"),
    [
        # No browser of today
        (None, None, False),
        # This site's page, or the user's own doing
        ("same-origin", None, False),
        ("same-origin", "http://testserver", False),
        ("same-origin", "null", False),
        ("none", None, False),
        ("none", "http://testserver", False),
        (None, "http://testserver", False),
        # Another scheme, host or port is another site
        (None, "https://testserver", True),
        (None, "http://testserver:8000", True),
        (None, "http://evil.example", True),
        (None, "http://testserver.evil.example", True),
        (None, "null", True),
        (None, "", True),
        (None, "http://[broken", True),
        ("same-site", None, True),
        ("cross-site", None, True),
        ("cross-site", "null", True),
        # A form that another site sent, sent again by a reload
        ("none", "http://evil.example", True),
        ("none", "null", True),
        # What came over another site is not this one's any more
        ("cross-site", "http://testserver", True),
        # Nothing that a browser says
        ("", None, True),
        ("same-origin, cross-site", None, True),
        ("Same-Origin", None, True),
        # Trusted
        ("cross-site", "https://app.example.com", False),
        ("same-site", "https://app.example.com", False),
        (None, "https://app.example.com", False),
        ("none", "https://app.example.com", False),
        (None, "https://sub.example.org", False),
        ("cross-site", "https://deep.sub.example.org", False),
        (None, "http://sub.example.org", True),
        (None, "https://notexample.org", True),
        (None, "http://app.example.com", True),
    ],
)
def test_which_pages_are_another_sites(site, origin, another, settings):
    settings.CSRF_TRUSTED_ORIGINS = TRUSTED

    assert from_another_site(asked(site, origin)) is another


def test_this_site_is_the_one_that_the_proxy_says(settings):
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.USE_X_FORWARDED_HOST = True
    settings.ALLOWED_HOSTS = ["example.com"]
    proxied = {"HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_FORWARDED_HOST": "example.com"}

    assert not from_another_site(asked(None, "https://example.com", **proxied))
    assert from_another_site(asked(None, "http://testserver", **proxied))


def test_host_that_is_not_allowed_is_no_site(settings):
    settings.ALLOWED_HOSTS = ["example.com"]

    assert from_another_site(asked(None, "http://testserver"))


@pytest.mark.parametrize(
    ("scheme", "origin", "another"),
    [
        ("ws", "http://testserver", False),
        ("wss", "https://testserver", False),
        ("wss", "http://testserver", True),
    ],
)
def test_page_of_a_websocket_has_a_scheme_of_http(scheme, origin, another):
    request = AsyncRequestFactory().get("/", headers={"Origin": origin})
    request.scope["scheme"] = scheme

    assert from_another_site(request) is another


@pytest.mark.parametrize(
    ("site", "origin", "agent", "maybe"),
    [
        (None, None, "curl/8.5.0", False),
        (None, None, "", False),
        (None, None, "python-requests/2.32 (not Mozilla/5.0)", False),
        ("same-origin", None, MOZILLA, False),
        ("none", None, MOZILLA, True),
        ("cross-site", None, "curl/8.5.0", True),
        (None, "http://evil.example", "curl/8.5.0", True),
        (None, None, MOZILLA, True),
    ],
)
def test_what_may_be_a_browser(site, origin, agent, maybe):
    assert may_be_browser(asked(site, origin, HTTP_USER_AGENT=agent)) is maybe
