"""No layout breaks in another language: German words are the longest."""

import pytest
from django.contrib.auth.models import User

from frappe_tokens.keys import generate_keys

from .conftest import fits, user_path

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("language", ["de", "es", "zh-hans"])
def test_every_page_fits(open_page, settings, make_user, language, width):
    settings.LANGUAGE_CODE = language
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}
    root = make_user("root", is_superuser=True, is_staff=True)
    key = generate_keys(root, name="deploy", read_only=True, scopes=["todos"]).instance
    window = {"viewport": {"width": width, "height": 900}, "has_touch": width < 400}
    page = open_page("/account/api-keys/", root, **window)

    keys = "/admin/frappe_tokens/apikey/"
    for path in (
        "/account/api-keys/",
        "/account/api-keys/new/",
        f"/account/api-keys/{key.pk}/rotate/",
        f"/account/api-keys/{key.pk}/revoke/",
        keys,
        f"{keys}{key.pk}/change/",
        f"{keys}{key.pk}/generate-keys/",
        f"{keys}{key.pk}/revoke/",
        "/admin/frappe_tokens/apirequestlog/",
        user_path(User.objects.get()),
    ):
        response = page.goto(path)
        assert response.status == 200, path
        assert fits(page), path
