"""The users' own pages in a real browser: with dialogs, and without JavaScript."""

import subprocess
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey
from tests.conftest import PASSWORD

from .conftest import CLOSE, HEADER, KEY, SECRET, SUBMIT, WINDOWS, each_window, fits, tab_to

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LIST = "/account/api-keys/"
NEW = ".frappe-tokens-list > header .button"
COPY_CURL = "[data-frappe-tokens-copy=frappe-tokens-value-curl]"


@pytest.fixture(autouse=True)
def _self_service(settings):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}


def action(page, name, what):
    """Return the button ``what`` of the key ``name``."""
    return page.locator(".frappe-tokens-key", has_text=name).get_by_role("link", name=what)


@each_window
def test_key_is_generated_rotated_and_revoked(open_page, user, whoami, options):
    is_scripted = options.get("java_script_enabled", True)
    page = open_page(LIST, user, **options)

    page.click(NEW)
    expect(page.locator("dialog")).to_have_count(int(is_scripted))
    page.fill("#id_name", "deploy")
    page.fill("#id_allowed_ips", "127.0.0.0/8")
    expect(page.locator("#id_expires_at")).to_be_hidden()
    page.check("text=Another date")
    page.fill("#id_expires_at", (timezone.now() + timedelta(days=9)).strftime("%Y-%m-%dT%H:%M"))
    page.click(SUBMIT)
    expect(page.locator(SECRET)).to_be_visible()
    assert not is_scripted or fits(page)
    first = page.inner_text(HEADER)
    assert whoami(first) == (200, '{"message":"ada"}')
    page.click(CLOSE)
    expect(page.locator(".frappe-tokens-key")).to_contain_text("This key expires in 9 days")
    assert "fts_" not in page.content()

    action(page, "deploy", "Rotate").click()
    page.check("text=For 24 hours")
    page.check("text=60 days")
    page.click(SUBMIT)
    expect(page.locator(SECRET)).to_be_visible()
    second = page.inner_text(HEADER)
    assert page.inner_text(KEY) in first
    assert [whoami(header)[0] for header in (first, second)] == [200, 200]
    page.click(CLOSE)
    expect(page.locator(".frappe-tokens-key")).to_contain_text("still in use")
    expect(page.locator(".frappe-tokens-key")).to_contain_text("in 60 days")

    action(page, "deploy", "Revoke").click()
    page.fill("#id_reason", "the laptop was stolen")
    page.click(SUBMIT)
    expect(page.get_by_role("status")).to_contain_text("Revoked API key")
    expect(page.locator("dialog")).to_have_count(0)
    page.click("summary")
    expect(page.locator("details")).to_contain_text("the laptop was stolen")
    assert [whoami(header)[0] for header in (first, second)] == [401, 401]


def test_copies_a_command_that_works(open_page, user):
    page = open_page(LIST, user, permissions=["clipboard-read", "clipboard-write"])
    page.click(NEW)
    page.click(SUBMIT)

    page.click(COPY_CURL)

    expect(page.locator(COPY_CURL)).to_have_text("Copied")
    command = page.evaluate("navigator.clipboard.readText()") + " --silent"
    answer = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert answer.stdout == '{"message":"ada"}'


def test_dialog_says_what_is_wrong(open_page, user):
    generate_keys(user, name="deploy")
    page = open_page(LIST, user)
    page.click(NEW)
    page.fill("#id_name", "deploy")
    for scope in ("todos", "events"):
        page.check(f"input[name=scopes][value={scope}]")

    page.click(SUBMIT)

    expect(page.locator("dialog .errorlist")).to_contain_text("an API key with this name")
    expect(page.locator("#id_name")).to_be_focused()
    expect(page.locator("input[name=scopes]:checked")).to_have_count(2)
    page.fill("#id_name", "backup")
    page.click(SUBMIT)
    expect(page.locator(SECRET)).to_be_visible()
    assert ApiKey.objects.get(name="backup").scopes == ["todos", "events"]


def test_works_by_keyboard_alone(open_page, user):
    page = open_page(LIST, user)

    tab_to(page, NEW)
    page.keyboard.press("Enter")
    expect(page.locator("#id_name")).to_be_focused()
    page.keyboard.type("deploy")
    page.keyboard.press("Enter")
    expect(page.locator("#frappe-tokens-heading")).to_be_focused()
    expect(page.locator(SECRET)).to_be_visible()
    # Tab stays within the dialog.
    for _ in range(8):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body"
            " || document.activeElement.closest('dialog') !== null"
        )
    tab_to(page, CLOSE, at_most=8)
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
    expect(page.get_by_role("status")).to_contain_text("Changed")
    expect(action(page, "nightly", "Edit")).to_be_focused()

    tab_to(page, ".frappe-tokens-key .button >> nth=3", at_most=3)
    page.keyboard.press("Enter")
    expect(page.locator("#id_reason")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".frappe-tokens-empty")).to_be_visible()
    expect(page.locator(NEW)).to_be_focused()


def test_signs_out_by_keyboard_and_without_a_script(open_page, user):
    page = open_page(LIST, user, java_script_enabled=False)

    page.get_by_role("button", name="Sign out").press("Enter")

    page.wait_for_url("**/account/login/")
    page.goto(LIST)
    page.wait_for_url("**/account/login/**")


def test_lost_session_leads_to_the_login_page_and_back(open_page, user):
    key = generate_keys(user, name="deploy").instance
    page = open_page(LIST, user)
    session = page.context.cookies()
    action(page, "deploy", "Revoke").click()
    expect(page.locator("dialog")).to_be_visible()
    page.context.clear_cookies(name="sessionid")

    page.click(SUBMIT)

    page.wait_for_url("**/account/login/**")
    page.context.add_cookies(session)
    page.goto(LIST)
    page.context.clear_cookies()
    action(page, "deploy", "Rotate").click()
    page.wait_for_url("**/account/login/**")
    page.fill("#id_username", "ada")
    page.fill("#id_password", PASSWORD)
    page.click(SUBMIT)
    page.wait_for_url(f"**{LIST}{key.pk}/rotate/")
    assert not ApiKey.objects.get().is_revoked


def test_many_keys_with_the_longest_texts_fit_on_a_phone(open_page, user, settings):
    settings.FRAPPE_TOKENS["SCOPES"] = {"todos:read": "d" * 200, "s" * 90: "d"}
    generate_keys(user)
    generate_keys(user, grace=timedelta(days=7))
    generate_keys(
        user,
        name="n" * 100,
        read_only=True,
        scopes=["todos:read", "s" * 90],
        allowed_ips=["192.0.2.0/24", "2001:db8:1234:5678:9abc:def0:1234:5678/128"],
        rate_limit="100/minute",
    )
    expired = generate_keys(user, name="last year's").instance
    ApiKey.objects.filter(pk=expired.pk).update(expires_at=expired.created_at)
    revoke(generate_keys(user, name="r" * 100).instance, reason="w" * 200)

    page = open_page(LIST, user, **WINDOWS["phone"])
    page.click("summary")

    expect(page.locator(".frappe-tokens-key")).to_have_count(3)
    assert fits(page)
    page.click(NEW)
    expect(page.locator("dialog input[name=scopes]")).to_have_count(2)
    assert fits(page)
