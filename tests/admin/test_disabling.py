"""The buttons and actions that disable and enable keys."""

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from frappe_tokens.admin import ApiKeyAdmin
from frappe_tokens.keys import disable, generate_keys, revoke
from frappe_tokens.models import ApiKey
from testproject.events.models import EventConsumer
from tests.account.conftest import text_of
from tests.html import attribute, elements, text

from .conftest import assert_no_inline_script_or_style, user_page

KEYS = "/admin/frappe_tokens/apikey/"


def buttons(response):
    """Return the texts and addresses of the buttons that disable or enable a key."""
    found = elements(text_of(response), "button", formaction=True)
    return {text(button): attribute(button, "formaction") for button in found}


def messages_of(response):
    return [str(message) for message in response.context["messages"]]


def page_of(row):
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return reverse(name, args=(row.pk,))


@pytest.fixture
def consumer(user, settings):
    settings.FRAPPE_TOKENS = {"SOURCES": {"EventConsumer": "events.EventConsumer"}}
    return EventConsumer.objects.create(name="Door sensor", user=user)


@pytest.mark.parametrize("page", ["key", "user", "source"])
def test_one_post_disables_and_another_enables(root_client, user, key, consumer, page):
    row = {"key": key, "user": key, "source": consumer}[page]
    address = user_page(user) if page == "user" else page_of(row)

    for verb, is_disabled in (("Disable", True), ("Enable", False)):
        shown = root_client.get(address)
        assert_no_inline_script_or_style(text_of(shown))
        assert list(buttons(shown)) == [verb]
        # Enter in a field presses the first button, which saves the form.
        form = elements(text_of(shown), "form", method="post", id=True)[-1]
        assert attribute(elements(form, type="submit")[0], "name") == "_save"

        done = root_client.post(buttons(shown)[verb], {"name": "unsaved"}, follow=True)

        assert done.redirect_chain == [(address, 302)]
        assert messages_of(done)[0] == f"{verb}d API key {row.api_key}."
        row.refresh_from_db()
        assert row.is_disabled is is_disabled
        assert ("by root" in text_of(done)) is is_disabled
    assert ApiKey.objects.get().name == ""
    assert LogEntry.objects.filter(object_id=row.pk, content_type__model=row._meta.model_name)


def test_buttons_need_a_post_a_token_and_a_key(manager_client, user, system_manager):
    address = reverse("admin:auth_user_disable_key", args=(user.pk,))
    assert manager_client.post(address).status_code == 404  # there is no key
    assert not buttons(manager_client.get(user_page(user)))

    key = generate_keys(user).instance
    assert manager_client.get(address)["Location"] == user_page(user)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(system_manager)
    assert strict.post(address).status_code == 403
    key.refresh_from_db()
    assert not key.is_disabled


def test_keys_of_more_powerful_users_can_be_disabled_but_not_enabled(manager_client, make_user):
    key = generate_keys(make_user("root", is_superuser=True)).instance

    manager_client.post(buttons(manager_client.get(page_of(key)))["Disable"])

    key.refresh_from_db()
    assert key.is_disabled
    assert not buttons(manager_client.get(page_of(key)))
    assert manager_client.post(f"{KEYS}{key.pk}/enable-key/").status_code == 403


def test_staff_without_the_permission_see_only_the_state(client, make_user, key):
    disable(key)
    viewer = ("auth.view_user", "frappe_tokens.view_apikey")
    client.force_login(make_user("viewer", is_staff=True, permissions=viewer))

    shown = client.get(page_of(key))

    assert "Disabled" in text_of(shown)
    assert not buttons(shown)
    for verb in ("disable", "enable"):
        assert client.post(f"{KEYS}{key.pk}/{verb}-key/").status_code == 403


def test_key_that_is_revoked_meanwhile_stays_revoked(manager_client, key, monkeypatch):
    def api_access(model_admin, obj):
        revoke(obj)
        return {"key": obj, "latest": obj}

    with monkeypatch.context() as patched:
        patched.setattr(ApiKeyAdmin, "api_access", api_access)
        done = manager_client.post(f"{KEYS}{key.pk}/disable-key/")

    assert "which is final" in messages_of(manager_client.get(done["Location"]))[0]
    key.refresh_from_db()
    assert not key.is_disabled
    assert manager_client.post(f"{KEYS}{key.pk}/disable-key/").status_code == 404


def test_actions_change_only_the_permitted_keys(manager_client, make_user, user, key):
    other, revoked = (generate_keys(user, name=name).instance for name in ("other", "revoked"))
    root = generate_keys(make_user("root", is_superuser=True)).instance
    revoke(revoked)
    selected = [key.pk, other.pk, revoked.pk, root.pk]

    def act(action):
        form = {"action": action, "_selected_action": selected}
        return messages_of(manager_client.post(KEYS, form, follow=True))

    assert act("disable_keys") == [
        "1 key was left out. It is revoked, or you can't manage its user's keys.",
        "Disabled 3 API keys.",
    ]
    assert "Disabled" in text_of(manager_client.get(KEYS, {"state": "disabled"}))
    assert act("enable_keys") == [
        "2 keys were left out. They are revoked, or you can't manage their users' keys.",
        "Enabled 2 API keys.",
    ]
    selected = [key.pk]
    assert act("enable_keys") == ["Nothing was changed."]
    assert act("disable_keys") == ["Disabled 1 API key."]
    assert act("disable_keys") == ["Nothing was changed."]
    assert act("enable_keys") == ["Enabled 1 API key."]
    assert set(ApiKey.objects.filter(disabled_at__isnull=False)) == {root}
