"""The request log and its charts in a real browser."""

import pytest
from playwright.sync_api import expect

from frappe_tokens.keys import generate_keys
from tests.log_rows import logged, logged_days

from .conftest import WINDOWS, each_window, fits, tab_to, user_path

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LOG = "/admin/frappe_tokens/apirequestlog/"
USAGE = ".frappe-tokens-usage"
KEYS = "/admin/frappe_tokens/apikey/"
BARS = ".frappe-tokens-usage-bars"
TIP = ".frappe-tokens-usage-tip"
# Nothing cuts off or covers the upper corners of the element.
IS_ON_TOP = """element => {
    const { left, right, top } = element.getBoundingClientRect();
    return [left, right].every((x, end) =>
        element.contains(document.elementFromPoint(x + (end ? -6 : 6), top + 6)));
}"""
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


@pytest.mark.parametrize("where", ["user", "key", "log"])
def test_chart_fits_into_every_window(open_page, system_manager, key, where):
    logged_days(key, OUTCOMES, 30)
    logged(key, path="/api/resource/" + "x" * 400)
    key_page = f"/admin/frappe_tokens/apikey/{key.pk}/change/"
    paths = {"user": user_path(key.user), "key": key_page, "log": LOG}
    page = open_page(paths[where], system_manager)

    expect(page.locator(USAGE).get_by_role("img")).to_be_visible()
    bars = page.locator(f"{USAGE} svg g:has(rect)")
    expect(bars).to_have_count(30)
    for width in (320, 768, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert fits(page)
        box = page.locator(f"{USAGE} svg").bounding_box()
        assert box["width"] > 100
        assert box["x"] + box["width"] <= width


def test_chart_works_by_keyboard_alone(open_page, system_manager, key):
    logged_days(key, OUTCOMES, 30)
    page = open_page(user_path(key.user), system_manager, viewport={"width": 1280, "height": 900})
    expect(page.locator(f"{TABLE} table")).to_be_hidden()

    tab_to(page, f"{TABLE} summary")
    page.keyboard.press("Enter")
    rows = page.locator(f"{TABLE} tbody tr")
    expect(rows).to_have_count(30)
    expect(rows.first).to_be_visible()
    # The arrow keys scroll to the other columns.
    tab_to(page, f"{TABLE} [role=region]", at_most=1)
    page.keyboard.press("End")
    expect(rows.last).to_be_in_viewport()
    tab_to(page, f"{USAGE}-link a", at_most=1)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{LOG}?user__id__exact={key.user_id}")
    expect(page.locator("#result_list tbody tr")).to_have_count(100)


@each_window
@pytest.mark.parametrize("where", ["user", "log"])
def test_bars_show_their_day_and_numbers_on_focus_and_hover(
    open_page, system_manager, key, where, options
):
    logged_days(key, {"accepted": 3, "key_revoked": 2}, 30)
    path = {"user": user_path(key.user), "log": LOG}[where]
    page = open_page(path, system_manager, **options)
    bars, shown = page.locator(f"{BARS} a"), page.locator(f"{TIP}:visible")
    expect(shown).to_have_count(0)

    # The text of the outer bars could stick out.
    for bar in (bars.first, bars.nth(14), bars.nth(15), bars.last):
        bar.focus()
        expect(shown).to_have_count(1)
        for text in (bar.get_attribute("aria-label").split(":")[0], "Accepted", "Key revoked"):
            expect(shown).to_contain_text(text)
        assert fits(page)
        bar.evaluate("bar => bar.scrollIntoView({ block: 'center' })")
        assert shown.evaluate(IS_ON_TOP)
        box = shown.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= page.viewport_size["width"]
    bars.nth(3).hover()
    expect(page.locator(f"{BARS} li").nth(3).locator(TIP)).to_be_visible()


def test_one_bar_is_reached_by_tab_and_the_others_by_arrows(open_page, system_manager, key):
    logged_days(key, {"accepted": 3}, 30)
    page = open_page(LOG, system_manager)
    bars, shown = page.locator(f"{BARS} a"), page.locator(f"{TIP}:visible")

    bars.last.focus()
    page.keyboard.press("ArrowLeft")
    expect(bars.nth(28)).to_be_focused()
    page.keyboard.press("Home")
    expect(bars.first).to_be_focused()
    page.keyboard.press("ArrowLeft")  # no bar is before the first
    page.keyboard.press("ArrowRight")
    expect(bars.nth(1)).to_be_focused()
    expect(shown).to_have_count(1)
    page.keyboard.press("Escape")
    expect(shown).to_have_count(0)
    page.keyboard.press("End")
    expect(shown).to_have_count(1)
    page.keyboard.press("Tab")
    expect(page.locator(f"{BARS} :focus")).to_have_count(0)


@pytest.mark.parametrize("width", [390, 1280])
def test_log_and_keys_show_what_matters_without_scrolling(open_page, system_manager, key, width):
    path = "/api/resource/Sales Invoice/ACC-SINV-2026-00041/with/many/more/steps"
    logged(key, "key_revoked", path=path, duration_ms=12345)
    for address, cells in [
        (LOG, (".field-when", ".field-who", ".frappe-tokens-state", ".field-duration")),
        (
            KEYS,
            (".field-key_name", ".field-key_user", ".frappe-tokens-state", ".field-key_expires"),
        ),
    ]:
        window = {"viewport": {"width": width, "height": 900}}
        page = open_page(address, system_manager, **window)
        assert fits(page)
        results = page.locator("#result_list")
        edge = page.locator("#changelist .results").bounding_box()
        for cell in cells:
            box = results.locator(cell).first.bounding_box()
            assert box["x"] >= edge["x"]
            assert box["x"] + box["width"] <= edge["x"] + edge["width"] + 1
        shown = results.get_by_text(key.api_key)
        assert shown.evaluate("e => e.scrollWidth <= e.clientWidth")  # whole


def test_list_of_keys_shows_whose_they_are_between_the_sidebars(open_page, system_manager, key):
    page = open_page(KEYS, system_manager, viewport={"width": 1100, "height": 900})

    user, state = (
        page.locator(f"#result_list .field-key_{name}").first.bounding_box()
        for name in ("user", "state")
    )
    assert fits(page)
    assert user["width"] > 75
    assert user["x"] + user["width"] <= state["x"] + 1


def test_click_on_a_row_opens_the_request(open_page, system_manager, key):
    row = logged(key, "key_revoked")
    page = open_page(LOG, system_manager)

    page.click("#result_list .field-duration")
    page.wait_for_url(f"**{LOG}{row.pk}/change/**")
    expect(page.locator("#content-main")).to_contain_text("curl/8.5.0")
    page.go_back()
    page.click("#result_list .field-who a >> nth=1")
    page.wait_for_url(f"**{LOG}?api_key={key.api_key}")


def test_chart_has_the_colours_of_the_theme(open_page, system_manager, key):
    logged(key)
    page = open_page(LOG, system_manager)
    bar = page.locator("svg rect.frappe-tokens-usage-accepted")
    fills = {"light": "rgb(74, 144, 184)", "dark": "rgb(63, 134, 176)"}

    for system, chosen in [
        ("light", "auto"),
        ("dark", "auto"),
        ("dark", "light"),
        ("light", "dark"),
    ]:
        page.emulate_media(color_scheme=system)
        page.evaluate("theme => localStorage.setItem('theme', theme)", chosen)
        page.reload()
        fill = bar.evaluate("bar => getComputedStyle(bar).fill")
        assert fill == fills[system if chosen == "auto" else chosen], (system, chosen)


def test_finds_a_request_without_javascript(open_page, system_manager, key):
    logged_days(key, OUTCOMES, 3)
    wanted = logged(key, "key_expired", path="/api/wanted/", ip="198.51.100.9")
    page = open_page(LOG, system_manager, **WINDOWS["no-javascript"])

    page.fill("#searchbar", "/api/wanted")
    page.click("#changelist-search [type=submit]")
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    expect(page.locator(".frappe-tokens-usage-numbers dd").first).to_have_text("1")
    page.click("#result_list tbody th a")
    page.wait_for_url(f"**{LOG}{wanted.pk}/change/**")
    expect(page.locator("#content-main")).to_contain_text("This API key has expired.")
    expect(page.locator("#content-main [type=submit]")).to_have_count(0)
    page.click(".field-key_link a")
    page.wait_for_url(f"**{LOG}?api_key={key.api_key}")
