"""Generate Keys in a real browser: the dialog, the list action, and both without JavaScript."""

import csv
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey

from .conftest import (
    CLOSE,
    GENERATE,
    HEADER,
    KEY,
    SECRET,
    SUBMIT,
    WINDOWS,
    each_window,
    fits,
    tab_to,
    user_path,
)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

GENERATED = "[data-frappe-tokens-generated]"


@pytest.fixture
def target(make_user):
    return make_user("ada")


@pytest.fixture
def user_page(open_page, system_manager, target):
    return open_page(user_path(target), system_manager)


@each_window
def test_shows_a_working_secret_once(open_page, system_manager, target, whoami, options):
    page = open_page(user_path(target), system_manager, **options)
    is_scripted = options.get("java_script_enabled", True)

    page.click(GENERATE)
    page.click(SUBMIT)
    expect(page.locator(SECRET)).to_be_visible()
    assert not is_scripted or fits(page)
    secret, header = page.inner_text(SECRET), page.inner_text(HEADER)
    page.reload()

    assert header == f"Authorization: token {ApiKey.objects.get().api_key}:{secret}"
    assert whoami(header) == (200, '{"message":"ada"}')
    assert secret not in page.content()
    if not is_scripted:  # the reload has sent the form again
        expect(page.locator("#frappe-tokens-content")).to_contain_text("Nothing was generated.")
    page.goto(user_path(target))
    assert secret not in page.content()


def test_expiry_fits_into_the_dialog_on_a_phone(open_page, system_manager, target):
    generate_keys(target)
    page = open_page(user_path(target), system_manager, **WINDOWS["phone"])

    page.click(GENERATE)

    dialog = page.locator("#frappe-tokens-content").bounding_box()
    field = page.locator("#frappe-tokens-content [name=expires_at]").bounding_box()
    assert field["x"] + field["width"] <= dialog["x"] + dialog["width"]


def test_copies_the_values(user_page):
    user_page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    user_page.click(GENERATE)
    user_page.click(SUBMIT)

    for value in (KEY, SECRET, HEADER):
        button = user_page.locator(f"{value} + .frappe-tokens-copy")
        button.click()
        expect(button).to_have_text("Copied")
        copied = user_page.evaluate("navigator.clipboard.readText()")
        assert copied == user_page.inner_text(value)


@each_window
def test_program_is_chosen_by_a_tab(open_page, system_manager, target, options):
    page = open_page(user_path(target), system_manager, **options)
    page.click(GENERATE)
    page.click(SUBMIT)
    programs = page.locator(".frappe-tokens-tabs pre:visible")
    expect(programs).to_have_count(1)
    expect(programs).to_contain_text("curl http")

    page.click("text=Python (requests)")
    expect(programs).to_contain_text("import requests")
    page.keyboard.press("ArrowRight")

    expect(programs).to_have_count(1)
    expect(programs).to_contain_text("await fetch(")


@pytest.mark.parametrize("width", [1280, 390])
def test_credentials_never_wrap(open_page, system_manager, make_user, width):
    for name in ("ada", "n" * 100):
        make_user(name)
    page = open_page("/admin/auth/user/", system_manager, viewport={"width": width, "height": 900})
    page.check("#action-toggle")
    page.select_option("select[name=action]", "generate_keys")
    page.click("button[name=index]")
    page.click(SUBMIT)
    expect(page.locator(GENERATED)).to_be_visible()

    assert fits(page)
    for code in page.locator(".frappe-tokens-secrets code").all():
        lines = "e => { const r = document.createRange(); r.selectNodeContents(e);"
        assert code.evaluate(f"{lines} return r.getClientRects().length }}") == 1
        if width == 1280:
            assert code.evaluate("e => e.scrollWidth <= e.clientWidth || !e.clientWidth")


def test_long_name_is_beside_the_object_tools(open_page, system_manager, target):
    key = generate_keys(target, name="Nightly export of invoices " * 3).instance
    page = open_page(f"/admin/frappe_tokens/apikey/{key.pk}/change/", system_manager)

    words = page.locator("#content h2").first.evaluate(
        "e => { const r = document.createRange(); r.selectNodeContents(e);"
        " return [...r.getClientRects()].map(({right, bottom}) => [right, bottom]) }"
    )
    tools = page.locator(".object-tools a").first.bounding_box()

    assert len(words) > 1
    assert all(right <= tools["x"] or bottom <= tools["y"] for right, bottom in words)


def test_link_that_is_a_button_looks_and_works_like_one(user_page):
    button = user_page.locator(GENERATE)
    assert button.evaluate("e => getComputedStyle(e).textDecorationLine") == "none"

    button.focus()
    user_page.keyboard.press("Space")

    cancel = user_page.locator(CLOSE)
    assert cancel.evaluate("e => getComputedStyle(e).textDecorationLine") == "none"
    cancel.focus()
    user_page.keyboard.press("Space")
    expect(user_page.locator("dialog")).to_have_count(0)


@each_window
def test_old_secret_works_until_the_chosen_time(open_page, system_manager, target, whoami, options):
    old = generate_keys(target)
    page = open_page(user_path(target), system_manager, **options)
    page.click(GENERATE)
    until = page.locator("[name=grace_until]")
    expect(until).to_be_hidden()

    page.check("[name=grace][value=until]")
    page.click(SUBMIT)
    expect(page.locator(".errorlist")).to_have_text("Enter a date and a time.")
    until.fill(f"{timezone.now() + timedelta(hours=1):%Y-%m-%dT%H:%M}")
    page.click(SUBMIT)

    expect(page.locator(GENERATED)).to_have_text("Secret rotated for ada")
    headers = [str(old.header), page.inner_text(HEADER)]
    assert [whoami(header)[0] for header in headers] == [200, 200]


def test_selects_the_secret_where_there_is_no_clipboard(user_page):
    """A site without HTTPS has none. Ctrl+C then copies the secret."""
    user_page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: null})")
    user_page.reload()
    user_page.click(GENERATE)
    user_page.click(SUBMIT)

    user_page.click(f"{SECRET} + .frappe-tokens-copy")

    expect(user_page.locator(f"{SECRET} + .frappe-tokens-copy")).not_to_have_text("Copy")
    assert user_page.evaluate("getSelection().toString()") == user_page.inner_text(SECRET)


def test_dialog_works_by_keyboard_alone(user_page, whoami):
    tab_to(user_page, GENERATE)
    user_page.keyboard.press("Enter")
    # The dialog opens with its first control focused, and Escape closes it.
    expect(user_page.locator(SUBMIT)).to_be_focused()
    user_page.keyboard.press("Escape")
    expect(user_page.locator("dialog")).to_have_count(0)
    expect(user_page.locator(GENERATE)).to_be_focused()
    assert not ApiKey.objects.exists()

    user_page.keyboard.press("Enter")
    expect(user_page.locator(SUBMIT)).to_be_focused()
    user_page.keyboard.press("Enter")
    expect(user_page.locator("#frappe-tokens-heading")).to_be_focused()
    header = user_page.inner_text(HEADER)
    tab_to(user_page, f"{HEADER} + .frappe-tokens-copy", at_most=6)
    user_page.keyboard.press("Enter")
    expect(user_page.locator(f"{HEADER} + .frappe-tokens-copy")).not_to_have_text("Copy")
    tab_to(user_page, CLOSE, at_most=4)
    user_page.keyboard.press("Enter")
    expect(user_page.locator("dialog")).to_have_count(0)
    expect(user_page.locator(GENERATE)).to_be_focused()
    assert whoami(header)[0] == 200


def test_closing_the_dialog_renews_the_section_and_keeps_what_was_typed(
    open_page, make_user, target
):
    page = open_page(user_path(target), make_user("root", is_staff=True, is_superuser=True))
    page.fill("#id_first_name", "Half an edit")
    page.click(GENERATE)
    page.click(SUBMIT)
    api_key = page.inner_text(KEY)

    page.click(CLOSE)

    expect(page.locator(".field-api_access_key")).to_contain_text(api_key)
    expect(page.locator("#id_first_name")).to_have_value("Half an edit")
    assert "fts_" not in page.content()


def test_dialog_says_that_the_server_is_unreachable(user_page):
    user_page.click(GENERATE)
    expect(user_page.locator(SUBMIT)).to_be_visible()
    user_page.context.set_offline(True)

    user_page.click(SUBMIT)

    expect(user_page.locator("dialog [role=alert]")).to_contain_text("The server didn't answer.")
    user_page.click(CLOSE)
    expect(user_page.locator("dialog")).to_have_count(0)


def test_escape_never_loses_a_secret(user_page):
    held = []
    user_page.route(
        "**/generate-keys/",
        lambda route: held.append(route) if route.request.method == "POST" else route.continue_(),
    )
    user_page.click(GENERATE)
    with user_page.expect_request(lambda request: request.method == "POST"):
        user_page.click(SUBMIT)

    user_page.keyboard.press("Escape")  # before the response with the secret
    expect(user_page.locator("dialog")).to_be_visible()
    held[0].continue_()
    expect(user_page.locator(SECRET)).to_be_visible()

    for _ in range(4):  # browsers limit how often a page can prevent closing
        user_page.keyboard.press("Escape")
        expect(user_page.locator(SECRET)).to_be_visible()


def test_double_click_opens_one_dialog(user_page):
    user_page.dblclick(GENERATE)

    expect(user_page.locator(SUBMIT)).to_be_visible()
    assert user_page.locator("dialog").count() == 1


@each_window
def test_list_generates_for_several_users_with_a_csv(
    open_page, system_manager, make_user, whoami, options
):
    users = {name: make_user(name) for name in ("ada", "grace", "hedy")}
    generate_keys(users["ada"])
    page = open_page("/admin/auth/user/", system_manager, **options)
    for user in users.values():
        page.check(f"input[name=_selected_action][value='{user.pk}']")
    page.select_option("select[name=action]", "generate_keys")
    page.click("button[name=index]")
    expect(page.locator("#content-main")).to_contain_text("How long should the")

    page.click(SUBMIT)
    expect(page.locator(GENERATED)).to_be_visible()
    assert not options.get("java_script_enabled", True) or fits(page)
    rows = download(page, lambda: page.click("a[download]"))

    assert {row["user"] for row in rows} == set(users)
    for row in rows:
        header = f"Authorization: token {row['api_key']}:{row['api_secret']}"
        assert whoami(header) == (200, f'{{"message":"{row["user"]}"}}')
    page.reload()
    assert "fts_" not in page.content()


def test_list_works_by_keyboard_alone(open_page, system_manager, target):
    page = open_page("/admin/auth/user/", system_manager)

    tab_to(page, "select[name=action]")
    page.keyboard.type("Generate Keys")
    tab_to(page, f"input[name=_selected_action][value='{target.pk}']")
    page.keyboard.press("Space")
    tab_to(page, "button[name=index]", key="Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator(SUBMIT)).to_be_visible()
    tab_to(page, SUBMIT)
    page.keyboard.press("Enter")
    expect(page.locator(GENERATED)).to_be_visible()
    tab_to(page, "a[download]")

    (row,) = download(page, lambda: page.keyboard.press("Enter"))
    assert row["user"] == "ada"


def download(page, act):
    """Return the rows of the CSV file that ``act`` downloads."""
    with page.expect_download() as downloaded:
        act()
    with open(downloaded.value.path(), encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_named_key_is_added_rotated_and_revoked(open_page, system_manager, target, whoami):
    page = open_page("/admin/frappe_tokens/apikey/add/", system_manager)
    page.click(".select2-selection")
    page.keyboard.type("ada")
    page.click(".select2-results__option >> text=ada")
    page.fill("#id_name", "ci")
    page.click("[name=_save]")
    header = page.inner_text(HEADER)
    assert whoami(header)[0] == 200

    page.goto("/admin/frappe_tokens/apikey/")
    page.click("#result_list tbody th a")
    page.click(GENERATE)
    page.click(SUBMIT)
    rotated = page.inner_text(HEADER)
    assert [whoami(each)[0] for each in (header, rotated)] == [401, 200]

    page.click(CLOSE)
    page.click(".field-api_access_revoke a")
    page.fill("#id_reason", "leaked")
    page.click(SUBMIT)
    expect(page.locator("#content-main")).to_contain_text("leaked")
    assert whoami(rotated)[0] == 401
