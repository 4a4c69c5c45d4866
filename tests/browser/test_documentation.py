"""The pictures of README.md and docs/, taken from the real thing: ``make screenshots``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from .conftest import Visitor

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_takes_the_pictures_of_the_documentation(
    visit: Callable[..., Visitor],
    system_manager: User,
    make_user: Callable[..., Any],
    scheme: str,
    tmp_path: Path,
) -> None:
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
    visitor.shoot(f"generate-keys-list-{scheme}")

    assert {picture.name for picture in visitor.folder.iterdir()} >= {
        f"{name}-{scheme}.png" for name in ("generate-keys", "api-access", "generate-keys-list")
    }
