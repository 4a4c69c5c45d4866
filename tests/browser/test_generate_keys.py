"""Generate Keys in a real browser: the dialog, the list action, and both without JavaScript."""

import csv
import urllib.error
import urllib.request

import pytest
from playwright.sync_api import expect

from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}

WINDOWS = {
    "light": {"viewport": DESKTOP},
    "dark": {"viewport": DESKTOP, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "has_touch": True},
    "no-javascript": {"viewport": DESKTOP, "java_script_enabled": False},
    "phone-no-javascript": {"viewport": PHONE, "java_script_enabled": False},
}

GENERATE = "[data-frappe-tokens-dialog]"
SUBMIT = "#frappe-tokens-content [type=submit]"
KEY = "#frappe-tokens-value-key"
SECRET = "#frappe-tokens-value-secret"
HEADER = "#frappe-tokens-value-header"


def user_path(user):
    return f"/admin/auth/user/{user.pk}/change/"


def whoami(site, header):
    """What the API answers to a request with ``header`` (as the page shows it)."""
    name, _, value = header.partition(": ")
    request = urllib.request.Request(  # noqa: S310 - the live server on loopback
        f"{site}/api/method/frappe.auth.get_logged_user", headers={name: value}
    )
    try:
        with urllib.request.urlopen(request) as response:  # noqa: S310 - as above
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def no_sideways_scrolling(visitor):
    page = visitor.page
    return bool(
        page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        )
    )


def tab_to(page, selector, at_most=80):
    for _ in range(at_most):
        page.keyboard.press("Tab")
        if page.locator(selector).evaluate("e => e === document.activeElement"):
            return
    pytest.fail(f"{selector} is not reached by Tab")


@pytest.fixture
def target(make_user):
    return make_user("ada")


@pytest.mark.parametrize("window", WINDOWS)
def test_shows_a_working_secret_once(visit, system_manager, target, window):
    visitor = visit(system_manager, **WINDOWS[window])
    page = visitor.page
    visitor.open(user_path(target))
    page.locator(GENERATE).scroll_into_view_if_needed()
    visitor.shoot(f"user-page-{window}")
    page.click(GENERATE)
    expect(page.locator(SUBMIT)).to_be_visible()
    visitor.shoot(f"confirmation-{window}")
    page.click(SUBMIT)
    expect(page.locator(SECRET)).to_be_visible()
    visitor.shoot(f"generated-{window}")
    secret = page.inner_text(SECRET)
    header = page.inner_text(HEADER)
    assert header == f"Authorization: token {page.inner_text(KEY)}:{secret}"
    if "javascript" not in window:
        # In a browser that runs no script there is no way to ask for the width.
        assert no_sideways_scrolling(visitor)

    assert whoami(visitor.site, header) == (200, '{"message":"ada"}')

    page.reload()
    assert secret not in page.content()
    visitor.open(user_path(target))
    assert secret not in page.content()
    assert ApiKey.objects.get(user=target).api_key in page.content()
    assert whoami(visitor.site, header)[0] == 200


def test_reloading_a_page_of_secrets_generates_nothing(visit, system_manager, target):
    visitor = visit(system_manager, java_script_enabled=False)
    page = visitor.page
    visitor.open(user_path(target))
    page.click(GENERATE)
    page.click(SUBMIT)
    header = page.inner_text(HEADER)

    page.reload()

    expect(page.locator("#frappe-tokens-content")).to_contain_text("Nothing was generated.")
    assert whoami(visitor.site, header)[0] == 200


def test_copies_the_secret(visit, system_manager, target):
    visitor = visit(system_manager, permissions=["clipboard-read", "clipboard-write"])
    page = visitor.page
    visitor.open(user_path(target))
    page.click(GENERATE)
    page.click(SUBMIT)

    for value in (KEY, SECRET, HEADER):
        button = page.locator(f"{value} + .frappe-tokens-copy")
        button.click()
        expect(button).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == page.inner_text(value)


def test_copies_without_a_clipboard_interface(visit, system_manager, target):
    """On a site without HTTPS there is none; the text is selected, for Ctrl+C at the least."""
    visitor = visit(system_manager)
    page = visitor.page
    visitor.page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: null})")
    visitor.open(user_path(target))
    page.click(GENERATE)
    page.click(SUBMIT)

    page.click(f"{SECRET} + .frappe-tokens-copy")

    expect(page.locator(f"{SECRET} + .frappe-tokens-copy")).not_to_have_text("Copy")
    assert page.evaluate("getSelection().toString()") == page.inner_text(SECRET)


def test_everything_by_keyboard_alone(visit, system_manager, target):
    visitor = visit(system_manager, permissions=["clipboard-read", "clipboard-write"])
    page = visitor.page
    visitor.open(user_path(target))

    tab_to(page, GENERATE)
    page.keyboard.press("Enter")
    # The dialog opens with its first control focused, and Escape closes it.
    expect(page.locator(SUBMIT)).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.locator(GENERATE)).to_be_focused()
    assert not ApiKey.objects.exists()

    page.keyboard.press("Enter")
    expect(page.locator(SUBMIT)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#frappe-tokens-heading")).to_be_focused()
    header = page.inner_text(HEADER)
    tab_to(page, f"{HEADER} + .frappe-tokens-copy", at_most=4)
    page.keyboard.press("Enter")
    expect(page.locator(f"{HEADER} + .frappe-tokens-copy")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == header
    # A secret on show is not lost by a slip.
    page.keyboard.press("Escape")
    expect(page.locator(SECRET)).to_be_visible()
    tab_to(page, ".frappe-tokens-close", at_most=2)
    page.keyboard.press("Enter")
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.locator(GENERATE)).to_be_focused()
    assert whoami(visitor.site, header)[0] == 200


def test_closing_the_dialog_renews_the_section_and_keeps_what_was_typed(visit, make_user, target):
    visitor = visit(make_user("root", is_staff=True, is_superuser=True))
    page = visitor.page
    visitor.open(user_path(target))
    page.fill("#id_first_name", "Half an edit")
    page.click(GENERATE)
    page.click(SUBMIT)
    expect(page.locator(SECRET)).to_be_visible()
    api_key = page.inner_text(KEY)
    page.click(".frappe-tokens-close")

    expect(page.locator(".field-api_access_key")).to_contain_text(api_key)
    expect(page.locator("#id_first_name")).to_have_value("Half an edit")
    assert "fts_" not in page.content()


def test_a_lost_session_leads_to_the_login_page(visit, system_manager, target):
    visitor = visit(system_manager)
    visitor.open(user_path(target))
    visitor.page.context.clear_cookies()

    visitor.page.click(GENERATE)

    visitor.page.wait_for_url("**/admin/login/**")


def test_an_unreachable_server_is_told_in_the_dialog(visit, system_manager, target):
    visitor = visit(system_manager)
    page = visitor.page
    visitor.open(user_path(target))
    page.click(GENERATE)
    expect(page.locator(SUBMIT)).to_be_visible()
    page.context.set_offline(True)

    page.click(SUBMIT)

    expect(page.locator("dialog [role=alert]")).to_contain_text("The server didn't answer.")
    page.context.set_offline(False)
    page.click(".frappe-tokens-close")
    expect(page.locator("dialog")).to_have_count(0)


@pytest.mark.parametrize("window", WINDOWS)
def test_generates_for_three_users_from_the_list_with_a_csv(
    visit,
    system_manager,
    make_user,
    window,
):
    users = {name: make_user(name) for name in ("ada", "grace", "hedy")}
    generate_keys(users["ada"])
    visitor = visit(system_manager, **WINDOWS[window])
    page = visitor.page
    visitor.open("/admin/auth/user/")
    for user in users.values():
        page.check(f"input[name=_selected_action][value='{user.pk}']")
    page.select_option("select[name=action]", "generate_keys")
    page.click("button[name=index]")
    expect(page.locator("#content-main")).to_contain_text(
        "Its current secret stops working immediately."
    )
    visitor.shoot(f"list-confirmation-{window}")
    page.click(SUBMIT)
    expect(page.locator("[data-frappe-tokens-generated]")).to_be_visible()
    visitor.shoot(f"list-generated-{window}")
    if "javascript" not in window:
        assert no_sideways_scrolling(visitor)

    with page.expect_download() as download:
        page.click("a[download]")

    with open(download.value.path(), encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["user"] for row in rows} == set(users)
    for row in rows:
        header = f"Authorization: token {row['api_key']}:{row['api_secret']}"
        assert whoami(visitor.site, header) == (200, f'{{"message":"{row["user"]}"}}')
    page.reload()
    assert "fts_" not in page.content()
    assert whoami(visitor.site, header)[0] == 200


def test_the_list_by_keyboard_alone(visit, system_manager, target):
    visitor = visit(system_manager)
    page = visitor.page
    visitor.open("/admin/auth/user/")

    tab_to(page, "select[name=action]")
    page.keyboard.type("Generate Keys")
    box = f"input[name=_selected_action][value='{target.pk}']"
    tab_to(page, box)
    page.keyboard.press("Space")
    while not page.locator("button[name=index]").evaluate("e => e === document.activeElement"):
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator(SUBMIT)).to_be_visible()
    tab_to(page, SUBMIT)
    page.keyboard.press("Enter")
    expect(page.locator("[data-frappe-tokens-generated]")).to_be_visible()
    tab_to(page, "a[download]")
    with page.expect_download() as download:
        page.keyboard.press("Enter")

    with open(download.value.path(), encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    header = f"Authorization: token {row['api_key']}:{row['api_secret']}"
    assert whoami(visitor.site, header)[0] == 200


@pytest.mark.parametrize("window", ["light", "dark", "phone", "no-javascript"])
def test_adds_rotates_and_revokes_a_named_key(visit, system_manager, target, window):
    visitor = visit(system_manager, **WINDOWS[window])
    page = visitor.page
    visitor.open("/admin/frappe_tokens/apikey/add/")
    if window == "no-javascript":
        # Django's search box for users needs a script; without one it is an empty list.
        generated = generate_keys(target, name="ci")
        header = f"Authorization: token {generated.token}"
    else:
        page.click(".select2-selection")
        page.keyboard.type("ada")
        page.click(".select2-results__option >> text=ada")
        page.fill("#id_name", "ci")
        visitor.shoot(f"add-key-{window}")
        page.click("[name=_save]")
        header = page.inner_text(HEADER)
    assert whoami(visitor.site, header)[0] == 200

    visitor.open("/admin/frappe_tokens/apikey/")
    visitor.shoot(f"keys-{window}")
    page.click("#result_list tbody th a")
    visitor.shoot(f"key-page-{window}")
    page.click(GENERATE)
    page.click(SUBMIT)
    rotated = page.inner_text(HEADER)
    assert whoami(visitor.site, header)[0] == 401
    assert whoami(visitor.site, rotated)[0] == 200

    page.click(".frappe-tokens-close")
    page.click(".field-api_access_revoke a")
    page.fill("#id_reason", "leaked")
    visitor.shoot(f"revoke-{window}")
    page.click(SUBMIT)
    expect(page.locator("#content-main")).to_contain_text("leaked")
    assert whoami(visitor.site, rotated)[0] == 401
    assert "key_revoked" in whoami(visitor.site, rotated)[1]


def test_a_user_without_the_permission_sees_none_of_it(visit, make_user, target):
    clerk = make_user("clerk", is_staff=True, permissions=("auth.view_user", "auth.change_user"))
    visitor = visit(clerk)
    page = visitor.page
    visitor.open(user_path(target))
    assert "API Access" not in page.content()
    assert page.locator(GENERATE).count() == 0
    visitor.open("/admin/auth/user/")
    assert "Generate Keys" not in page.content()

    answer = page.evaluate(
        """path => fetch(path, {
            method: "POST",
            headers: {"X-CSRFToken": document.cookie.match(/csrftoken=([^;]+)/)[1]},
            body: new URLSearchParams({version: "by hand"}),
        }).then(response => response.status)""",
        f"/admin/auth/user/{target.pk}/generate-keys/",
    )
    assert answer == 403
    assert not ApiKey.objects.exists()


def test_escape_never_loses_a_secret(visit, system_manager, target):
    visitor = visit(system_manager)
    page = visitor.page
    visitor.open(user_path(target))
    held = []
    page.route(
        "**/generate-keys/",
        lambda route: held.append(route) if route.request.method == "POST" else route.continue_(),
    )
    page.click(GENERATE)
    with page.expect_request(lambda request: request.method == "POST"):
        page.click(SUBMIT)

    page.keyboard.press("Escape")  # while the answer with the secret is under way
    expect(page.locator("dialog")).to_be_visible()
    held[0].continue_()
    expect(page.locator(SECRET)).to_be_visible()

    for _ in range(4):  # a browser lets a page prevent the closing only so often
        page.keyboard.press("Escape")
        expect(page.locator(SECRET)).to_be_visible()


def test_a_double_click_opens_one_dialog(visit, system_manager, target):
    visitor = visit(system_manager)
    page = visitor.page
    visitor.open(user_path(target))

    page.dblclick(GENERATE)

    expect(page.locator(SUBMIT)).to_be_visible()
    assert page.locator("dialog").count() == 1
