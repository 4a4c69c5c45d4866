"""The request log and its pictures in a real browser."""

import pytest
from playwright.sync_api import expect

from frappe_tokens.keys import generate_keys
from tests.log_rows import logged, logged_days

from .test_generate_keys import WINDOWS, no_sideways_scrolling, tab_to, user_path

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LOG = "/admin/frappe_tokens/apirequestlog/"
USAGE = ".frappe-tokens-usage"
TABLE = ".frappe-tokens-usage-table"
OUTCOMES = {
    "accepted": 60,
    "invalid_credentials": 6,
    "ip_not_allowed": 4,
    "too_many_failures": 3,
    "other": 2,
}


@pytest.fixture
def key(make_user):
    return generate_keys(make_user("ada")).instance


def pages_of(key):
    return {
        "user": user_path(key.user),
        "key": f"/admin/frappe_tokens/apikey/{key.pk}/change/",
        "log": LOG,
    }


@pytest.mark.parametrize("days", [0, 1, 30])
@pytest.mark.parametrize("window", WINDOWS)
def test_shows_the_picture_on_each_page(visit, system_manager, key, window, days):
    logged_days(key, OUTCOMES, days)
    visitor = visit(system_manager, **WINDOWS[window])
    for name, path in pages_of(key).items():
        visitor.open(path)
        usage = visitor.page.locator(USAGE)
        usage.scroll_into_view_if_needed()
        visitor.shoot(f"usage-{name}-{days}-days-{window}")
        expect(usage).to_be_visible()
        if days:
            bars = usage.locator("svg g:has(rect:not(.frappe-tokens-usage-day))")
            expect(bars).to_have_count(days)
            expect(usage.get_by_role("img")).to_be_visible()
        else:
            expect(usage).to_contain_text("No requests logged yet.")
            expect(usage.locator("svg")).to_have_count(0)
        if "javascript" not in window:
            # In a browser that runs no script there is no way to ask for the width.
            assert no_sideways_scrolling(visitor)


def test_everything_by_keyboard_alone(visit, system_manager, key):
    logged_days(key, OUTCOMES, 30)
    visitor = visit(system_manager, viewport={"width": 1280, "height": 900})
    page = visitor.page
    visitor.open(user_path(key.user))
    expect(page.locator(f"{TABLE} table")).to_be_hidden()

    tab_to(page, f"{TABLE} summary")
    page.keyboard.press("Enter")
    rows = page.locator(f"{TABLE} tbody tr")
    expect(rows).to_have_count(30)
    expect(rows.first).to_be_visible()
    visitor.shoot("usage-table")
    # What does not fit is scrolled to by the arrow keys.
    tab_to(page, f"{TABLE} [role=region]", at_most=1)
    page.keyboard.press("End")
    expect(rows.last).to_be_in_viewport()
    tab_to(page, f"{USAGE} a", at_most=1)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{LOG}?user__id__exact={key.user_id}")
    expect(page.locator("#result_list tbody tr")).to_have_count(100)


@pytest.mark.parametrize("system", ["light", "dark"])
@pytest.mark.parametrize("chosen", ["auto", "light", "dark"])
def test_the_colours_are_those_of_the_theme(visit, system_manager, key, system, chosen):
    logged(key)
    visitor = visit(system_manager, color_scheme=system)
    page = visitor.page
    page.evaluate("theme => localStorage.setItem('theme', theme)", chosen)

    visitor.open(LOG)

    fill = page.locator("svg rect.frappe-tokens-usage-accepted").evaluate(
        "bar => getComputedStyle(bar).fill"
    )
    theme = system if chosen == "auto" else chosen
    assert fill == {"light": "rgb(74, 144, 184)", "dark": "rgb(63, 134, 176)"}[theme]


def test_the_picture_fits_into_every_window(visit, system_manager, key):
    long = "/api/resource/" + "x" * 400
    for _ in range(3):
        logged(key, path=long)
    visitor = visit(system_manager)
    page = visitor.page
    for path in pages_of(key).values():
        for width in (320, 768, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            visitor.open(path)
            assert no_sideways_scrolling(visitor)
            box = page.locator(f"{USAGE} svg").bounding_box()
            assert box is not None
            assert box["width"] > 100
            assert box["x"] + box["width"] <= width


@pytest.mark.parametrize("window", WINDOWS)
def test_finds_a_request(visit, system_manager, key, window):
    logged_days(key, OUTCOMES, 3)
    wanted = logged(key, "key_expired", path="/api/wanted/", ip="198.51.100.9")
    visitor = visit(system_manager, **WINDOWS[window])
    page = visitor.page
    visitor.open(LOG)

    page.fill("#searchbar", "/api/wanted")
    page.click("#changelist-search [type=submit]")
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    expect(page.locator(".frappe-tokens-usage-numbers dd").first).to_have_text("1")
    page.click("#result_list tbody th a")
    page.wait_for_url(f"**{LOG}{wanted.pk}/change/**")
    visitor.shoot(f"request-{window}")
    expect(page.locator("#content-main")).to_contain_text("This API key has expired.")
    expect(page.locator("#content-main [type=submit]")).to_have_count(0)
    page.click(".field-key_link a")
    page.wait_for_url(f"**{LOG}?api_key={key.api_key}")
