"""The buttons that disable and enable keys, in a real browser: plain forms without a script."""

import pytest
from playwright.sync_api import expect

from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey

from .conftest import each_window, fits, tab_to, user_path

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@each_window
@pytest.mark.parametrize("place", ["account", "key", "user"])
def test_one_press_disables_and_another_enables(
    open_page, system_manager, user, settings, place, options
):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}
    key = generate_keys(user).instance
    path = {
        "account": "/account/api-keys/",
        "key": f"/admin/frappe_tokens/apikey/{key.pk}/change/",
        "user": user_path(user),
    }[place]
    page = open_page(path, user if place == "account" else system_manager, **options)

    for verb in ("Disable", "Enable"):
        button = page.get_by_role("button", name=verb, exact=True)
        if place == "account":
            assert fits(page)
        button.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_text(f"{verb}d API key {key.api_key}.")).to_be_visible()
        key.refresh_from_db()
        assert key.is_disabled is (verb == "Disable")
        if place == "account":
            assert fits(page)


def test_enter_in_a_field_saves_and_does_not_disable(open_page, system_manager, user):
    key = generate_keys(user).instance
    page = open_page(f"/admin/frappe_tokens/apikey/{key.pk}/change/", system_manager)

    page.fill("#id_name", "nightly")
    page.keyboard.press("Enter")

    expect(page.get_by_text("was changed successfully")).to_be_visible()
    assert ApiKey.objects.get().name == "nightly"
    assert not ApiKey.objects.get().is_disabled


def test_button_is_reached_by_tab(open_page, system_manager, user):
    key = generate_keys(user).instance
    page = open_page(user_path(user), system_manager)

    tab_to(page, "button[formaction]")
    page.keyboard.press("Space")

    expect(page.get_by_text(f"Disabled API key {key.api_key}.")).to_be_visible()
