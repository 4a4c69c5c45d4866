"""A router that lets a replica answer, which sees what was written after its commit."""

import pytest
from django.db import connection
from django.test import Client

from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey

from . import replicas
from .admin.conftest import generate, generate_page
from .client import GENERATE, JSON, client_of
from .commands.running import run
from .replicas import Replicas


def add_in_the_admin(manager, user):
    client = Client()
    client.force_login(manager)
    return client.post("/admin/frappe_tokens/apikey/add/", {"user": user.pk})


def generate_in_the_admin(manager, user):
    client = Client()
    client.force_login(manager)
    return generate(client, generate_page(user))


def by_rest(manager, user):
    return client_of(generate_keys(manager)).post("/api/keys/", {"user": "ada"}, JSON)


def by_rpc(manager, user):
    return client_of(generate_keys(manager)).post(GENERATE, {"user": "ada"})


@pytest.mark.django_db(transaction=True, databases=["default", "replica"])
@pytest.mark.parametrize("way", [add_in_the_admin, generate_in_the_admin, by_rest, by_rpc])
def test_keys_are_made_with_a_replica(settings, system_manager, user, way):
    settings.DATABASE_ROUTERS = [Replicas()]

    response = way(system_manager, user)

    key = ApiKey.objects.using("default").get(user=user)
    assert response.status_code in (200, 201)
    assert key.api_key in response.content.decode()


@pytest.mark.django_db(transaction=True, databases=["default", "replica"])
def test_command_makes_a_user_and_a_key_with_a_replica(settings):
    settings.DATABASE_ROUTERS = [Replicas()]

    output, _ = run("generate_keys", "robot", "--create-user")

    assert ApiKey.objects.using("default").get(user__username="robot").api_key in output


@pytest.mark.django_db
@pytest.mark.parametrize("alias", [None, "default"], ids=["from a replica", "where it was written"])
def test_early_reads_are_found(settings, monkeypatch, user, alias):
    settings.DATABASE_ROUTERS = [replicas.LateReplica()]
    code = (
        "def write_and_read(user):\n user.save()\n return type(user).objects.using(alias).get()\n"
    )
    monkeypatch.setattr(replicas, "APP", "/made/up/app")
    in_the_app = {"alias": alias}
    exec(compile(code, "/made/up/app/module.py", "exec"), in_the_app)  # noqa: S102

    with connection.execute_wrapper(replicas.watch):
        in_the_app["write_and_read"](user)

    found, replicas.too_early = replicas.too_early, []
    assert [line.rpartition("/")[2] for line in found] == (
        [] if alias else ["module.py:3 reads User"]
    )
