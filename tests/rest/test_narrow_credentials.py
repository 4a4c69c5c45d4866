"""A key that ends, or is bound to addresses or a rate, makes and gets hold of no wider one."""

import pytest

from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey

from .conftest import assert_refused, rows, send

pytestmark = pytest.mark.django_db

NARROW = {
    "expires_at": "2100-01-01T00:00:00Z",
    "allowed_ips": ["127.0.0.0/8"],
    "rate_limit": "10/minute",
}
WIDER = {
    "expires_at": "2100-01-01T00:00:01Z",
    "allowed_ips": ["126.0.0.0/7"],
    "rate_limit": "11/minute",
}
SENTENCE = "An API key can't manage a key that allows more than itself."


@pytest.fixture
def narrow(system_manager):
    """The keys of a System Manager, narrowed in every way that leaves them able to make others."""
    keys = generate_keys(system_manager)
    assert send(keys, "PATCH", keys.api_key, NARROW).status_code == 200
    return keys


def test_new_key_is_as_narrow(narrow, user):
    response = send(narrow, "POST", body={"user": "ada", "expires_at": None, "allowed_ips": []})

    assert response.status_code == 201
    assert {name: response.json()[name] for name in NARROW} == NARROW


@pytest.mark.parametrize("name", NARROW)
def test_wider_key_is_refused(narrow, user, name):
    before = rows()
    response = send(narrow, "POST", body={"user": "ada", name: WIDER[name]})
    assert_refused(response, 403, "permission_denied", SENTENCE)
    assert rows() == before


@pytest.mark.parametrize("name", NARROW)
def test_key_is_not_widened(narrow, user, name):
    made = send(narrow, "POST", body={"user": "ada"}).json()
    before = rows()
    for api_key in (made["api_key"], narrow.api_key):
        response = send(narrow, "PATCH", api_key, {name: WIDER[name]})
        assert_refused(response, 403, "permission_denied", SENTENCE)
    assert rows() == before


def test_wider_key_is_not_rotated_and_may_be_narrowed_and_revoked(narrow, keys):
    before = rows()
    response = send(narrow, "POST", f"{keys.api_key}/rotate/")
    assert_refused(response, 403, "permission_denied", SENTENCE)
    assert rows() == before

    assert send(narrow, "PATCH", keys.api_key, {"read_only": True}).status_code == 200
    assert send(narrow, "DELETE", keys.api_key).status_code == 204
    assert ApiKey.objects.get(pk=keys.instance.pk).is_revoked


def test_key_rotates_itself(narrow):
    response = send(narrow, "POST", f"{narrow.api_key}/rotate/")

    assert response.status_code == 200
    assert {name: response.json()[name] for name in NARROW} == NARROW
