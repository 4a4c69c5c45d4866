"""A source of keys in a real browser: add, generate, post with the secret, revoke."""

import json
import urllib.error
import urllib.request

import pytest
from playwright.sync_api import expect

from testproject.events.models import EventConsumer

from .test_generate_keys import GENERATE, HEADER, SECRET, SUBMIT, WINDOWS, no_sideways_scrolling

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SOURCE = "#frappe-tokens-value-source"


def post_event(site, *headers):
    """What the API answers to an event with ``headers`` (as the page shows them)."""
    named = dict(header.split(": ", 1) for header in headers)
    request = urllib.request.Request(  # noqa: S310 - the live server on loopback
        f"{site}/api/events/",
        json.dumps({"kind": "door opened"}).encode(),
        {**named, "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request) as response:  # noqa: S310 - as above
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize("window", WINDOWS)
def test_generates_shows_once_and_revokes(visit, make_user, window):
    consumer = EventConsumer.objects.create(name="Door sensor", user=make_user("ada"))
    EventConsumer.objects.create(name="Till", user=consumer.user, scopes=["events"])
    visitor = visit(make_user("root", is_staff=True, is_superuser=True), **WINDOWS[window])
    page = visitor.page
    visitor.open("/admin/events/eventconsumer/")
    visitor.shoot(f"consumers-{window}")
    page.click("text=Door sensor")
    visitor.shoot(f"consumer-{window}")
    page.click(GENERATE)
    expect(page.locator(SUBMIT)).to_be_visible()
    expect(page.locator("#frappe-tokens-content")).to_contain_text("Its requests run as ada.")
    visitor.shoot(f"consumer-confirmation-{window}")
    page.click(SUBMIT)
    expect(page.locator(SECRET)).to_be_visible()
    visitor.shoot(f"consumer-generated-{window}")
    secret, headers = page.inner_text(SECRET), [page.inner_text(HEADER), page.inner_text(SOURCE)]
    if "javascript" not in window:
        assert no_sideways_scrolling(visitor)

    status, event = post_event(visitor.site, *headers)
    assert (status, event["consumer"], event["user"]) == (201, "Door sensor", "ada")

    page.click(".frappe-tokens-close")
    expect(page.locator(".field-api_access_state")).to_contain_text("secret generated")
    assert secret not in page.content()
    visitor.shoot(f"consumer-after-{window}")
    page.click(".field-api_access_revoke a")
    page.fill("#id_reason", "stolen")
    visitor.shoot(f"consumer-revoke-{window}")
    page.click(SUBMIT)
    expect(page.locator(".field-api_access_state")).to_contain_text("by root: stolen")
    visitor.shoot(f"consumer-revoked-{window}")
    assert page.locator(GENERATE).count() == 0
    assert post_event(visitor.site, *headers)[1]["code"] == "key_revoked"
