"""The pictures of README.md and docs/, taken from the real thing: ``make screenshots``."""

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey
from tests.log_rows import logged_days

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_takes_the_pictures_of_the_documentation(
    visit,
    system_manager,
    make_user,
    scheme,
    tmp_path,
):
    users = [make_user(name) for name in ("ada", "grace", "hedy")]
    visitor = visit(system_manager, viewport={"width": 1100, "height": 720}, color_scheme=scheme)
    visitor.folder = visitor.folder or tmp_path
    page = visitor.page
    visitor.open(f"/admin/auth/user/{users[0].pk}/change/")
    page.click("[data-frappe-tokens-dialog]")
    page.click("#frappe-tokens-content [type=submit]")
    expect(page.locator("#frappe-tokens-value-secret")).to_be_visible()
    visitor.shoot(f"generate-keys-{scheme}")
    page.click(".frappe-tokens-close")
    expect(page.locator(".field-api_access_state")).to_contain_text("Active")
    visitor.shoot(f"api-access-{scheme}")
    visitor.open("/admin/auth/user/")
    for user in users:
        page.check(f"input[name=_selected_action][value='{user.pk}']")
    page.select_option("select[name=action]", "generate_keys")
    page.click("button[name=index]")
    page.click("#frappe-tokens-content [type=submit]")
    expect(page.locator(".frappe-tokens-copy").last).to_be_visible()
    visitor.shoot(f"generate-keys-list-{scheme}")

    assert {picture.name for picture in visitor.folder.iterdir()} >= {
        f"{name}-{scheme}.png" for name in ("generate-keys", "api-access", "generate-keys-list")
    }


# What an ordinary day brings.
OUTCOMES = {
    "accepted": 180,
    "invalid_credentials": 9,
    "insufficient_scope": 5,
    "too_many_failures": 3,
}
SECTION = "fieldset:has(.frappe-tokens-usage)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_takes_the_pictures_of_the_request_log(
    visit,
    system_manager,
    make_user,
    scheme,
    tmp_path,
):
    keys = {name: generate_keys(make_user(name)).instance for name in ("ada", "grace", "hedy")}
    logged_days(keys["ada"], OUTCOMES, 30)
    logged_days(keys["grace"], OUTCOMES, 1)
    used = [keys[name].pk for name in ("ada", "grace")]
    ApiKey.objects.filter(pk__in=used).update(last_used_at=timezone.now(), last_used_ip="192.0.2.7")
    visitor = visit(system_manager, viewport={"width": 1200, "height": 800}, color_scheme=scheme)
    visitor.folder = visitor.folder or tmp_path
    page = visitor.page
    for name, days in [("ada", "thirty-days"), ("grace", "one-day"), ("hedy", "no-data")]:
        visitor.open(f"/admin/auth/user/{keys[name].user_id}/change/")
        section = page.locator(SECTION)
        section.evaluate("section => section.scrollIntoView()")
        expect(section).to_be_in_viewport()
        visitor.shoot(f"usage-{days}-{scheme}")
    page.set_viewport_size({"width": 1440, "height": 900})
    visitor.open("/admin/frappe_tokens/apirequestlog/")
    expect(page.locator("#result_list")).to_be_attached()
    visitor.shoot(f"request-log-{scheme}")
    page.set_viewport_size({"width": 390, "height": 800})
    page.locator(".frappe-tokens-usage").evaluate("usage => usage.scrollIntoView()")
    visitor.shoot(f"request-log-phone-{scheme}")

    assert {picture.name for picture in visitor.folder.iterdir()} >= {
        f"{name}-{scheme}.png"
        for name in (
            "usage-thirty-days",
            "usage-one-day",
            "usage-no-data",
            "request-log",
            "request-log-phone",
        )
    }
