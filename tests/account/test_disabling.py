"""Users disable their own keys, and enable what they have disabled themselves."""

import pytest
from django.test import Client

from frappe_tokens.keys import Actor, disable, generate_keys, revoke
from frappe_tokens.models import ApiKey

from .conftest import LIST, make_key, page_of, text_of


def is_disabled(key):
    return ApiKey.objects.get(pk=key.pk).is_disabled


def test_one_post_disables_and_another_enables(ada, keys):
    key = keys.instance
    for what, done in (("disable", "Disabled"), ("enable", "Enabled")):
        assert page_of(key, what) in text_of(ada.get(LIST))
        assert ada.get(page_of(key, what))["Location"] == LIST
        assert is_disabled(key) is (what == "enable")

        answer = ada.post(page_of(key, what), follow=True)

        assert answer.redirect_chain == [(LIST, 302)]
        assert f"{done} API key {key.api_key}." in text_of(answer)
        assert is_disabled(key) is (what == "disable")
        assert ("You disabled this key" in text_of(answer)) is (what == "disable")
        assert (page_of(key, "rotate") in text_of(answer)) is (what == "enable")


def test_page_says_if_someone_else_disabled_the_key(ada, keys, system_manager):
    disable(keys.instance, by=Actor(system_manager))
    page = text_of(ada.get(LIST))

    answer = ada.post(page_of(keys.instance, "enable"))

    assert "Someone else disabled this key" in page
    assert "Ask an administrator to enable it." in page
    assert page_of(keys.instance, "enable") not in page
    assert answer.status_code == 409
    assert "someone else disabled" in text_of(answer)
    assert is_disabled(keys.instance)


def test_manager_enables_their_own_key_no_matter_who_disabled_it(client, system_manager):
    client.force_login(system_manager)
    make_key(client)
    key = ApiKey.objects.get()
    disable(key)

    assert "until you enable it" in text_of(client.get(LIST))
    assert client.post(page_of(key, "enable")).status_code == 302
    assert not is_disabled(key)


def test_disabled_key_is_not_rotated(ada, keys):
    disable(keys.instance)

    answer = ada.get(page_of(keys.instance, "rotate"))

    assert answer.status_code == 409
    assert "Enable it, then try again." in text_of(answer)


@pytest.mark.parametrize("what", ["disable", "enable"])
def test_needs_a_csrf_token_and_an_unrevoked_key_of_ones_own(ada, user, keys, make_user, what):
    page = page_of(keys.instance, what)
    strict, eve = Client(enforce_csrf_checks=True), Client()
    strict.force_login(user)
    eve.force_login(make_user("eve"))
    before = ApiKey.objects.values().get()

    assert [strict.post(page).status_code, eve.post(page).status_code] == [403, 404]
    assert ApiKey.objects.values().get() == before
    revoke(keys.instance)
    assert ada.post(page).status_code == 409


def test_description_is_chosen_shown_and_changed(ada, user):
    make_key(ada, name="ci", description="Nightly <b>build</b>")
    key = ApiKey.objects.get()
    assert key.description == "Nightly <b>build</b>"
    assert "Nightly &lt;b&gt;build" in text_of(ada.get(LIST))

    page = page_of(key, "edit")
    assert "printable" in text_of(ada.post(page, {"name": "ci", "description": "\a"}))
    assert ada.post(page, {"name": "ci", "description": "Weekly"}).status_code == 302

    key.refresh_from_db()
    assert (key.name, key.description) == ("ci", "Weekly")


@pytest.mark.parametrize("may", [False, True], ids=["self-service", "permission"])
def test_right_to_rotate_itself_is_offered_to_those_who_may_give_it(
    client, user, system_manager, may
):
    client.force_login(system_manager if may else user)

    assert ("self_rotate" in text_of(client.get(f"{LIST}new/"))) is may
    make_key(client, self_rotate="on")

    assert ApiKey.objects.get().self_rotate is may
    assert ("requests with the key may replace" in text_of(client.get(LIST))) is may


@pytest.mark.parametrize("may", [False, True], ids=["self-service", "permission"])
def test_right_to_rotate_itself_is_taken_by_its_user_and_given_by_permission(
    client, user, system_manager, may
):
    owner = system_manager if may else user
    client.force_login(owner)
    key = generate_keys(owner, name="ci", description="Nightly", self_rotate=True).instance
    page = page_of(key, "edit")
    form = {"name": "ci", "description": "Nightly"}

    offered = text_of(client.get(page))
    assert 'name="self_rotate"' in offered
    assert "checked" in offered
    assert ("not allow it again" in offered) is not may
    client.post(page, {**form, "self_rotate": "on"})
    key.refresh_from_db()
    assert key.self_rotate
    client.post(page, form)
    key.refresh_from_db()
    assert not key.self_rotate
    assert ('name="self_rotate"' in text_of(client.get(page))) is may
    client.post(page, {**form, "self_rotate": "on"})
    key.refresh_from_db()

    assert key.self_rotate is may
