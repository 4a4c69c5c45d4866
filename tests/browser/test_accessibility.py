"""All our pages and dialogs, in wide and narrow windows, light and dark, as axe-core sees them."""

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import expect

from frappe_tokens.keys import generate_keys

from . import tour
from .conftest import GENERATE, SUBMIT, user_path
from .inspection import Inspection

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

# Parts of Django's admin, which we don't change:
DJANGOS = [
    # The links aren't underlined.
    ".breadcrumbs",
    # The rest of the user's page has inputs for dates and times without names.
    "#user_form fieldset:not(:has([data-frappe-tokens-section]))",
    # The field to choose a user by typing has no name.
    ".select2",
    # The search field has only a title as its name.
    "#searchbar",
]

# Whether the focus is in the dialog or on its way through the browser's own controls, and whether
# the focused element has an outline.
FOCUS = """() => {
    const element = document.activeElement;
    const { outlineStyle, outlineWidth } = getComputedStyle(element);
    return [
        element === document.body || element.closest("dialog") !== null,
        element === document.body || (outlineStyle !== "none" && outlineWidth !== "0px"),
    ];
}"""

MOVING = """() => [...document.querySelectorAll("dialog, dialog *")].filter(element =>
    getComputedStyle(element).transitionDuration !== "0s"
    || getComputedStyle(element).animationName !== "none").length"""


@pytest.mark.node
def test_admin_has_no_violations(open_page, make_user, axe):
    tour.prepare(make_user)
    root = make_user("root", is_staff=True, is_superuser=True)
    page = open_page("/admin/", root, bypass_csp=True)  # axe-core sets styles

    problems = Inspection(axe, exclude=DJANGOS).look_at(page, tour.admin_pages(page))

    assert not problems, "\n".join(problems)


@pytest.mark.node
def test_users_pages_have_no_violations(open_page, live_server, make_user, settings, axe):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}
    tour.prepare(make_user)
    grace = get_user_model().objects.get(username="grace")
    page = open_page("/account/api-keys/", grace, bypass_csp=True)

    problems = Inspection(axe).look_at(page, tour.users_pages(page, live_server.url))

    assert not problems, "\n".join(problems)


def test_dialog_keeps_the_focus_and_nothing_moves(open_page, system_manager, user):
    generate_keys(user)
    page = open_page(user_path(user), system_manager, reduced_motion="reduce")
    page.click(GENERATE)
    expect(page.locator(SUBMIT)).to_be_visible()

    for step in range(24):
        if step == 12:
            page.click(SUBMIT)
            expect(page.locator("[data-frappe-tokens-generated]")).to_be_visible()
        page.keyboard.press("Tab")
        assert page.evaluate(FOCUS) == [True, True], page.evaluate(
            "document.activeElement.outerHTML"
        )
        assert page.evaluate(MOVING) == 0
