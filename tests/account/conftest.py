from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

LIST = "/account/api-keys/"
NEW = f"{LIST}new/"


@pytest.fixture(autouse=True)
def _self_service(settings: Any) -> None:
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}


@pytest.fixture
def ada(client: Client, user: Any) -> Client:
    """A browser in which ``user`` is signed in."""
    client.force_login(user)
    return client


def page_of(key: Any, what: str) -> str:
    return reverse(f"frappe_tokens_account:{what}", args=(key.pk,))


def text_of(response: Any) -> str:
    text: str = response.content.decode()
    return text


def version_on(response: Any) -> str:
    """The hidden field that tells a form which was sent already."""
    found = re.search(r'name="version" value="(\w+)"', text_of(response))
    assert found is not None, text_of(response)
    return found[1]


def secrets_on(response: Any) -> set[str]:
    return set(re.findall(r"fts_[0-9A-Za-z]{49}", text_of(response)))


def make_key(browser: Client, **fields: Any) -> Any:
    """The answer to a form for a new key that was opened just now."""
    return browser.post(NEW, {"version": version_on(browser.get(NEW)), **fields})


def rotate(browser: Client, key: Any, **fields: Any) -> Any:
    """The answer to a form for another secret that was opened just now."""
    page = page_of(key, "rotate")
    return browser.post(page, {"version": version_on(browser.get(page)), "grace": "0", **fields})
