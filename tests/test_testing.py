"""What a project tests with: ``frappe_tokens.test``."""

import asyncio

import pytest
from django.core.exceptions import ValidationError
from django.test import AsyncClient
from rest_framework.test import APIClient

from frappe_tokens.base_models import KeyState
from frappe_tokens.keys import generate_keys_for_source
from frappe_tokens.test import ApiKeyClient, ApiKeyClientMixin, make_key

from .client import WHO
from .sources.models import Robot

pytest_plugins = ["frappe_tokens.test.fixtures"]
pytestmark = pytest.mark.django_db


class KeyAPIClient(ApiKeyClientMixin, APIClient): ...


class AsyncKeyClient(ApiKeyClientMixin, AsyncClient): ...


def test_each_call_makes_another_key(user):
    keys = [make_key(user), make_key(user, read_only=True), make_key(user, name="mine")]

    assert [it.instance.read_only for it in keys] == [False, True, False]
    assert keys[0].instance.name == ""
    assert keys[2].instance.name == "mine"
    with pytest.raises(ValidationError, match="already"):
        make_key(user, name="mine")


def test_key_in_another_state(user):
    assert make_key(user, disabled=True).instance.state == KeyState.DISABLED
    assert make_key(user, revoked=True).instance.state == KeyState.REVOKED


@pytest.mark.parametrize("client_class", [ApiKeyClient, KeyAPIClient])
@pytest.mark.parametrize("scheme", ["token", "Basic", "bearer"])
def test_client_sends_the_key_until_it_gets_another(user, client_class, scheme):
    client = client_class()
    client.use_key(make_key(user), scheme=scheme)

    assert client.get(WHO).json() == client.post(WHO).json() == {"message": "ada"}
    assert client.get(WHO, headers={"Authorization": "token wrong"}).status_code == 401

    client.use_key(None)

    assert client.get(WHO).status_code == 401


def test_client_names_the_source(user, settings):
    settings.FRAPPE_TOKENS = {"SOURCES": {"Robot": "sources.Robot"}}
    client = ApiKeyClient()
    client.use_key(generate_keys_for_source(Robot.objects.create(user=user)), source="Robot")

    assert client.get(WHO).json() == {"message": "ada"}


@pytest.mark.django_db(transaction=True)
def test_async_client_sends_the_key(user):
    client = AsyncKeyClient()
    client.use_key(make_key(user))

    assert asyncio.run(client.get(WHO)).json() == {"message": "ada"}


def test_fixtures_do_the_same(make_api_key, api_key_client, user):
    assert make_api_key(user, scopes=["a"]).instance.scopes == ["a"]
    assert api_key_client(user).get(WHO).json() == {"message": "ada"}


@pytest.mark.parametrize("client_class", [ApiKeyClient, KeyAPIClient])
def test_no_repr_shows_the_secret(user, client_class):
    keys, client = make_key(user), client_class()
    client.use_key(keys)

    response = client.get(WHO)

    shown = f"{keys!r} {vars(client)!r} {response!r} {response.request!r} {vars(response)!r}"
    assert keys.token not in shown
    assert keys.api_secret not in shown
