from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse


@pytest.fixture
def manager_client(client: Client, system_manager: Any) -> Client:
    """A browser in which a System Manager is signed in."""
    client.force_login(system_manager)
    return client


def user_page(user: Any) -> str:
    return reverse("admin:auth_user_change", args=(user.pk,))


def generate_page(user: Any) -> str:
    return reverse("admin:auth_user_generate_keys", args=(user.pk,))


def version_on(response: Any) -> str:
    """The hidden field that tells a form which was sent already."""
    found = re.search(r'name="version" value="(\w+)"', response.content.decode())
    assert found is not None, response.content.decode()
    return found[1]


def secrets_on(response: Any) -> set[str]:
    return set(re.findall(r"fts_[0-9A-Za-z]{49}", response.content.decode()))
