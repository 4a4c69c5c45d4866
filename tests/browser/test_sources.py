"""A source of keys in a real browser: generate, send a request with the secret, revoke."""

import pytest
import requests
from playwright.sync_api import expect

from testproject.events.models import EventConsumer

from .conftest import CLOSE, GENERATE, HEADER, SECRET, SUBMIT, each_window

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SOURCE = "#frappe-tokens-value-source"


@each_window
def test_secret_of_a_source_is_shown_once_and_revoked(
    open_page, live_server, make_user, user, options
):
    consumer = EventConsumer.objects.create(name="Door sensor", user=user)
    root = make_user("root", is_staff=True, is_superuser=True)
    page = open_page("/admin/events/eventconsumer/", root, **options)

    def post_event():
        url, event = f"{live_server.url}/api/events/", {"kind": "door opened"}
        return requests.post(url, json=event, headers=headers, timeout=30)

    page.click("text=Door sensor")
    page.click(GENERATE)
    expect(page.locator("#frappe-tokens-content")).to_contain_text("Its requests run as ada.")
    page.click(SUBMIT)
    expect(page.locator(SECRET)).to_be_visible()
    secret = page.inner_text(SECRET)
    headers = dict(page.inner_text(header).split(": ", 1) for header in (HEADER, SOURCE))
    answer = post_event()
    assert (answer.status_code, answer.json()["consumer"]) == (201, consumer.name)
    assert answer.json()["user"] == "ada"

    page.click(CLOSE)
    expect(page.locator(".field-api_access_state")).to_contain_text("secret generated")
    assert secret not in page.content()
    page.click(".field-api_access_revoke a")
    page.fill("#id_reason", "stolen")
    page.click(SUBMIT)
    expect(page.locator(".field-api_access_state")).to_contain_text("by root: stolen")
    assert page.locator(GENERATE).count() == 0
    assert post_event().json()["code"] == "key_revoked"
