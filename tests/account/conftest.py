import re

import pytest
from django.urls import reverse

LIST = "/account/api-keys/"
NEW = f"{LIST}new/"


@pytest.fixture(autouse=True)
def _self_service(settings):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}


@pytest.fixture
def ada(client, user):
    """A browser in which ``user`` is signed in."""
    client.force_login(user)
    return client


def page_of(key, what):
    return reverse(f"frappe_tokens_account:{what}", args=(key.pk,))


def text_of(response):
    return response.content.decode()


def version_on(response):
    """The hidden field that tells a form which was sent already."""
    found = re.search(r'name="version" value="(\w+)"', text_of(response))
    assert found is not None, text_of(response)
    return found[1]


def secrets_on(response):
    return set(re.findall(r"fts_[0-9A-Za-z]{49}", text_of(response)))


def make_key(browser, **fields):
    """The answer to a form for a new key that was opened just now."""
    return browser.post(NEW, {"version": version_on(browser.get(NEW)), **fields})


def rotate(browser, key, **fields):
    """The answer to a form for another secret that was opened just now."""
    page = page_of(key, "rotate")
    return browser.post(page, {"version": version_on(browser.get(page)), "grace": "0", **fields})
