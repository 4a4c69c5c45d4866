import re

import pytest
from django.urls import reverse


@pytest.fixture
def manager_client(client, system_manager):
    """A browser in which a System Manager is signed in."""
    client.force_login(system_manager)
    return client


def user_page(user):
    return reverse("admin:auth_user_change", args=(user.pk,))


def generate_page(user):
    return reverse("admin:auth_user_generate_keys", args=(user.pk,))


def version_on(response):
    """The hidden field that tells a form which was sent already."""
    found = re.search(r'name="version" value="(\w+)"', response.content.decode())
    assert found is not None, response.content.decode()
    return found[1]


def secrets_on(response):
    return set(re.findall(r"fts_[0-9A-Za-z]{49}", response.content.decode()))
