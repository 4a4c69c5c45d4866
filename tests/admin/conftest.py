import pytest
from django.urls import reverse

from tests.account.conftest import version_on


@pytest.fixture
def manager_client(client, system_manager):
    """A browser in which a System Manager is signed in."""
    client.force_login(system_manager)
    return client


@pytest.fixture
def root_client(client, make_user):
    """A browser in which a superuser is signed in."""
    client.force_login(make_user("root", is_superuser=True, is_staff=True))
    return client


def user_page(user):
    return reverse("admin:auth_user_change", args=(user.pk,))


def generate_page(user):
    return reverse("admin:auth_user_generate_keys", args=(user.pk,))


def generate(client, url, **form):
    """The response to a confirmed page or, with a form, to the confirmed action of a list."""
    confirmation = client.post(url, form) if form else client.get(url)
    return client.post(url, {**form, "version": version_on(confirmation)})
