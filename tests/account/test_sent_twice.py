"""A form that is sent a second time, by a reload or a double click, generates nothing."""

from frappe_tokens.keys import revoke
from frappe_tokens.models import ApiKey

from .conftest import NEW, page_of, secrets_on, text_of, version_on


def test_reloading_the_answer_makes_nothing(ada):
    form = {"version": version_on(ada.get(NEW)), "name": "ci"}
    ada.post(NEW, form)
    before = ApiKey.objects.get()

    again = ada.post(NEW, form)

    assert again.status_code == 409
    assert "Nothing was generated." in text_of(again)
    assert not secrets_on(again)
    assert ApiKey.objects.get().secret_digest == before.secret_digest


def test_reloading_the_answer_makes_nothing_after_the_key_was_revoked(ada):
    form = {"version": version_on(ada.get(NEW)), "name": "ci"}
    ada.post(NEW, form)
    revoke(ApiKey.objects.get())

    again = ada.post(NEW, form)

    assert again.status_code == 409
    assert ApiKey.objects.count() == 1
    # And the form on that page is one that can be sent.
    assert secrets_on(ada.post(NEW, {**form, "version": version_on(again)}))


def test_a_form_without_its_version_makes_nothing(ada):
    assert ada.post(NEW, {"name": "ci"}).status_code == 409
    assert not ApiKey.objects.exists()


def test_reloading_the_answer_rotates_nothing(ada, keys):
    page = page_of(keys.instance, "rotate")
    form = {"version": version_on(ada.get(page)), "grace": "0"}
    ada.post(page, form)
    before = ApiKey.objects.get()

    again = ada.post(page, form)

    assert again.status_code == 409
    assert "Nothing was generated." in text_of(again)
    assert not secrets_on(again)
    assert ApiKey.objects.get().secret_digest == before.secret_digest
    assert secrets_on(ada.post(page, {**form, "version": version_on(again)}))
