"""The users' own page of keys in a real browser: by dialogs, and the same without JavaScript."""

import subprocess
from datetime import timedelta

import pytest
from playwright.sync_api import expect

from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey
from tests.conftest import PASSWORD

from .test_generate_keys import (
    HEADER,
    KEY,
    SECRET,
    SUBMIT,
    no_sideways_scrolling,
    tab_to,
    whoami,
)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

DESKTOP = {"width": 1100, "height": 860}
PHONE = {"width": 360, "height": 760}

WINDOWS = {
    "light": {"viewport": DESKTOP},
    "dark": {"viewport": DESKTOP, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "has_touch": True},
    "phone-dark": {"viewport": PHONE, "color_scheme": "dark"},
    "no-javascript": {"viewport": DESKTOP, "java_script_enabled": False},
    "phone-no-javascript": {"viewport": PHONE, "java_script_enabled": False},
}

LIST = "/account/api-keys/"
NEW = "header .button"
CURL = "#frappe-tokens-value-curl"
DONE = ".frappe-tokens-close"


@pytest.fixture(autouse=True)
def _self_service(settings):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}


@pytest.fixture
def ada(make_user):
    """Someone who may do nothing but serve herself. (Staff, to sign in where others do.)"""
    return make_user("ada", is_staff=True)


def action(page, name, what):
    """The button ``what`` of the key ``name``."""
    return page.locator(".frappe-tokens-key", has_text=name).get_by_role("link", name=what)


@pytest.mark.parametrize("window", WINDOWS)
def test_makes_rotates_and_revokes_a_key(visit, ada, window):
    visitor = visit(ada, **WINDOWS[window])
    page = visitor.page
    scripted = "javascript" not in window

    def shoot(name):
        visitor.shoot(f"account-{name}-{window}")
        if scripted:
            # In a browser that runs no script there is no way to ask for the width.
            assert no_sideways_scrolling(visitor)

    visitor.open(LIST)
    shoot("empty")
    page.click(NEW)
    expect(page.locator("dialog")).to_have_count(int(scripted))
    page.fill("#id_name", "deploy")
    page.fill("#id_allowed_ips", "127.0.0.0/8")
    shoot("new")
    page.click(SUBMIT)
    expect(page.locator(SECRET)).to_be_visible()
    shoot("generated")
    first = page.inner_text(HEADER)
    assert whoami(visitor.site, first) == (200, '{"message":"ada"}')
    page.click(DONE)
    expect(page.locator(".frappe-tokens-key")).to_contain_text("deploy")
    assert "fts_" not in page.content()

    action(page, "deploy", "Rotate").click()
    page.check("text=For one day")
    shoot("rotate")
    page.click(SUBMIT)
    expect(page.locator(SECRET)).to_be_visible()
    second = page.inner_text(HEADER)
    assert page.inner_text(KEY) in first
    assert second != first
    assert [whoami(visitor.site, header)[0] for header in (first, second)] == [200, 200]
    page.click(DONE)
    expect(page.locator(".frappe-tokens-key")).to_contain_text("still in use")
    shoot("list")

    action(page, "deploy", "Revoke").click()
    page.fill("#id_reason", "the laptop was stolen")
    shoot("revoke")
    page.click(SUBMIT)
    expect(page.get_by_role("status")).to_contain_text("Revoked API key")
    expect(page.locator("dialog")).to_have_count(0)
    page.click("summary")
    expect(page.locator("details")).to_contain_text("the laptop was stolen")
    shoot("revoked")
    assert [whoami(visitor.site, header)[0] for header in (first, second)] == [401, 401]


@pytest.mark.parametrize("window", ["light", "no-javascript"])
def test_reloading_a_page_with_a_secret_makes_nothing(visit, ada, window):
    visitor = visit(ada, **WINDOWS[window])
    page = visitor.page
    visitor.open(f"{LIST}new/")
    page.click(SUBMIT)
    header = page.inner_text(HEADER)

    page.reload()

    expect(page.locator("#frappe-tokens-content")).to_contain_text("Nothing was generated.")
    assert ApiKey.objects.count() == 1
    assert whoami(visitor.site, header)[0] == 200


def test_copies_the_secret_and_a_command_that_works(visit, ada):
    visitor = visit(ada, permissions=["clipboard-read", "clipboard-write"])
    page = visitor.page
    visitor.open(LIST)
    page.click(NEW)
    page.click(SUBMIT)

    for value in (KEY, SECRET, HEADER, CURL):
        button = page.locator(f"{value} + button")
        button.click()
        expect(button).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == page.inner_text(value)
    command = f"{page.inner_text(CURL)} --silent"
    answer = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert answer.stdout == '{"message":"ada"}'


def test_says_in_the_dialog_what_is_wrong(visit, ada):
    generate_keys(ada, name="deploy")
    visitor = visit(ada)
    page = visitor.page
    visitor.open(LIST)
    page.click(NEW)
    page.fill("#id_name", "deploy")
    page.fill("#id_scopes", "todos events")

    page.click(SUBMIT)

    expect(page.locator("dialog .errorlist")).to_contain_text("an API key with this name")
    expect(page.locator("#id_name")).to_be_focused()
    expect(page.locator("#id_scopes")).to_have_value("todos events")
    page.fill("#id_name", "backup")
    page.click(SUBMIT)
    expect(page.locator(SECRET)).to_be_visible()
    assert ApiKey.objects.get(name="backup").scopes == ["todos", "events"]


def test_everything_by_keyboard_alone(visit, ada):
    visitor = visit(ada)
    page = visitor.page
    visitor.open(LIST)

    tab_to(page, NEW)
    page.keyboard.press("Enter")
    expect(page.locator("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.locator(NEW)).to_be_focused()

    page.keyboard.press("Enter")
    expect(page.locator("dialog")).to_be_visible()
    expect(page.locator("#id_name")).to_be_focused()
    page.keyboard.type("deploy")
    page.keyboard.press("Enter")
    expect(page.locator("#frappe-tokens-heading")).to_be_focused()
    expect(page.locator(SECRET)).to_be_visible()
    # Around and around within the dialog, and never to the page behind it.
    for _ in range(8):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body"
            " || document.activeElement.closest('dialog') !== null"
        )
    tab_to(page, DONE, at_most=8)
    page.keyboard.press("Enter")
    expect(page.locator(".frappe-tokens-key")).to_contain_text("deploy")
    expect(page.locator(NEW)).to_be_focused()

    tab_to(page, ".frappe-tokens-key .button >> nth=1")
    page.keyboard.press("Enter")
    expect(page.locator("#id_name")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("nightly")
    page.keyboard.press("Enter")
    expect(page.locator(".frappe-tokens-key")).to_contain_text("nightly")
    expect(page.get_by_role("status")).to_contain_text("Renamed")
    expect(action(page, "nightly", "Rename")).to_be_focused()

    tab_to(page, ".frappe-tokens-key .button >> nth=2", at_most=2)
    page.keyboard.press("Enter")
    expect(page.locator("#id_reason")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".frappe-tokens-empty")).to_be_visible()
    expect(page.locator(NEW)).to_be_focused()


def test_a_lost_session_leads_to_the_login_page_and_back(visit, ada):
    key = generate_keys(ada, name="deploy").instance
    visitor = visit(ada)
    page = visitor.page
    visitor.open(LIST)
    action(page, "deploy", "Revoke").click()
    expect(page.locator("dialog")).to_be_visible()
    session = page.context.cookies()
    page.context.clear_cookies(name="sessionid")

    page.click(SUBMIT)

    page.wait_for_url("**/account/login/**")
    visitor.shoot("account-login")
    page.context.add_cookies(session)
    visitor.open(LIST)
    page.context.clear_cookies()
    action(page, "deploy", "Rotate").click()
    page.wait_for_url("**/account/login/**")
    page.fill("#id_username", "ada")
    page.fill("#id_password", PASSWORD)
    page.click(SUBMIT)
    page.wait_for_url(f"**{LIST}{key.pk}/rotate/")
    assert not ApiKey.objects.get().is_revoked


def test_says_why_it_is_closed(visit, ada, settings):
    visitor = visit(ada)
    settings.FRAPPE_TOKENS = {}

    visitor.open(LIST)

    expect(visitor.page.get_by_role("alert")).to_contain_text("Ask an administrator for a key.")
    visitor.shoot("account-closed")


@pytest.mark.parametrize("window", ["light", "dark", "phone", "phone-dark"])
def test_shows_many_keys_on_any_screen(visit, ada, window):
    """With names and lists as long as they may be."""
    generate_keys(ada)
    generate_keys(ada, grace=timedelta(days=7))
    generate_keys(
        ada,
        name="n" * 100,
        read_only=True,
        scopes=["todos:read", "s" * 90],
        allowed_ips=["192.0.2.0/24", "2001:db8:1234:5678:9abc:def0:1234:5678/128"],
        rate_limit="100/minute",
    )
    expired = generate_keys(ada, name="last year's").instance
    ApiKey.objects.filter(pk=expired.pk).update(expires_at=expired.created_at)
    revoke(generate_keys(ada, name="r" * 100).instance, reason="w" * 200)
    visitor = visit(ada, **WINDOWS[window])
    visitor.open(LIST)
    visitor.page.click("summary")

    expect(visitor.page.locator(".frappe-tokens-key")).to_have_count(3)
    assert no_sideways_scrolling(visitor)
    visitor.page.set_viewport_size({**WINDOWS[window]["viewport"], "height": 1500})
    visitor.shoot(f"account-many-{window}")
