"""The pictures of README.md and docs/, taken from the running project: ``make screenshots``."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import expect

from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey
from tests.log_rows import logged_days

from .conftest import CLOSE, GENERATE, SECRET, SUBMIT, user_path

FOLDER = os.environ.get("SCREENSHOT_DIR")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    # Without a folder, one scheme is enough to test that they can be taken.
    pytest.mark.parametrize("scheme", ["light", "dark"] if FOLDER else ["light"]),
]

# The requests of an ordinary day.
OUTCOMES = {
    "accepted": 180,
    "invalid_credentials": 9,
    "insufficient_scope": 5,
    "too_many_failures": 3,
}


@pytest.fixture
def shoot(scheme, tmp_path):
    def take(page, name):
        picture = Path(FOLDER or tmp_path) / f"{name}-{scheme}.png"
        try:
            page.screenshot(path=picture)
        except PlaywrightError:
            # On a busy machine, headless Chromium sometimes has no frame yet.
            page.screenshot(path=picture)

    return take


def test_takes_the_pictures_of_the_documentation(
    open_page, system_manager, make_user, scheme, shoot
):
    users = [make_user(name) for name in ("ada", "grace", "hedy")]
    window = {"viewport": {"width": 1100, "height": 720}, "color_scheme": scheme}
    page = open_page(user_path(users[0]), system_manager, **window)

    page.click(GENERATE)
    page.click(SUBMIT)
    expect(page.locator(SECRET)).to_be_visible()
    shoot(page, "generate-keys")
    page.click(CLOSE)
    expect(page.locator(".field-api_access_state")).to_contain_text("Active")
    shoot(page, "api-access")
    page.goto("/admin/auth/user/")
    for user in users:
        page.check(f"input[name=_selected_action][value='{user.pk}']")
    page.select_option("select[name=action]", "generate_keys")
    page.click("button[name=index]")
    page.click(SUBMIT)
    expect(page.locator(".frappe-tokens-copy").last).to_be_visible()
    shoot(page, "generate-keys-list")


def test_takes_the_picture_of_the_users_own_page(open_page, make_user, settings, scheme, shoot):
    settings.FRAPPE_TOKENS = {**getattr(settings, "FRAPPE_TOKENS", {}), "SELF_SERVICE": True}
    user, now = make_user("ada"), timezone.now()
    deploy = generate_keys(user, name="deploy", expires_at=now + timedelta(days=9)).instance
    limits = {"read_only": True, "allowed_ips": ["192.0.2.0/24"]}
    generate_keys(user, name="nightly backup", expires_at=now + timedelta(days=88), **limits)
    ApiKey.objects.filter(pk=deploy.pk).update(
        last_used_at=now - timedelta(minutes=3), last_used_ip="192.0.2.7"
    )
    window = {"viewport": {"width": 900, "height": 800}, "color_scheme": scheme}

    page = open_page("/account/api-keys/", user, **window)

    expect(page.get_by_text("nightly backup").first).to_be_visible()
    shoot(page, "account-keys")


def test_takes_the_pictures_of_the_request_log(open_page, system_manager, make_user, scheme, shoot):
    keys = {name: generate_keys(make_user(name)).instance for name in ("ada", "grace", "hedy")}
    logged_days(keys["ada"], OUTCOMES, 30)
    logged_days(keys["grace"], OUTCOMES, 1)
    used = ApiKey.objects.filter(name="", user__username__in=["ada", "grace"])
    used.update(last_used_at=timezone.now(), last_used_ip="192.0.2.7")
    window = {"viewport": {"width": 1200, "height": 800}, "color_scheme": scheme}
    page = open_page("/admin/", system_manager, **window)

    for name, days in [("ada", "thirty-days"), ("grace", "one-day"), ("hedy", "no-data")]:
        page.goto(user_path(keys[name].user))
        section = page.locator("fieldset:has(.frappe-tokens-usage)")
        section.evaluate("section => section.scrollIntoView()")
        expect(section).to_be_in_viewport()
        shoot(page, f"usage-{days}")
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto("/admin/frappe_tokens/apirequestlog/")
    expect(page.locator("#result_list")).to_be_attached()
    shoot(page, "request-log")
    page.set_viewport_size({"width": 390, "height": 800})
    page.locator(".frappe-tokens-usage").evaluate("usage => usage.scrollIntoView()")
    shoot(page, "request-log-phone")
