import pytest
from django.urls import reverse

from frappe_tokens.keys import generate_keys
from tests.account.conftest import version_on
from tests.html import attribute, elements

LOG = "/admin/frappe_tokens/apirequestlog/"


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


@pytest.fixture
def staff(client, make_user):
    """Sign in someone with only these permissions: ``staff("auth.view_user")``."""

    def sign_in(*permissions):
        client.force_login(make_user("staff", permissions, is_staff=True))
        return client

    return sign_in


@pytest.fixture
def key(user):
    return generate_keys(user).instance


@pytest.fixture
def get(manager_client):
    """Return the HTML of a page, by default of the request log."""

    def get(path=LOG, **query):
        response = manager_client.get(path, query)
        assert response.status_code == 200
        return response.content.decode()

    return get


def user_page(user):
    return reverse("admin:auth_user_change", args=(user.pk,))


def generate_page(user):
    return reverse("admin:auth_user_generate_keys", args=(user.pk,))


def generate(client, url, **form):
    """Confirm a page or, with a form, the action of a list, and return the response.

    A replaced secret stops working at once.
    """
    confirmation = client.post(url, form) if form else client.get(url)
    return client.post(url, {**form, "version": version_on(confirmation), "grace": "0"})


def assert_no_inline_script_or_style(page):
    """The policy ``default-src 'self'`` blocks nothing, and markup in values is escaped."""
    assert not elements(page, "style") + elements(page, "b")
    assert all(attribute(script, "src") for script in elements(page, "script"))
    for element in elements(page):
        names = [name for name, _ in element.attributes]
        assert not [name for name in names if name == "style" or name.startswith("on")]
