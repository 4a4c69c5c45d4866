"""A router that lets a replica answer, which sees what was written after its commit."""

import pytest
import time_machine
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client

from frappe_tokens import lookup
from frappe_tokens.crypto import Secret
from frappe_tokens.exceptions import Reason
from frappe_tokens.keys import (
    ImportedPair,
    disable,
    enable,
    generate_keys,
    import_keys,
    revoke,
    revoke_leaked,
    set_up_pair,
)
from frappe_tokens.lookup import cache as key_cache
from frappe_tokens.lookup import statement as statements
from frappe_tokens.models import ApiKey, SentNotice

from . import replicas
from .admin.conftest import generate, generate_page
from .client import DAY, GENERATE, JSON, NOON, ask, attempt, client_of
from .commands.running import run
from .conftest import PASSWORD
from .documentation import blocks, page
from .replicas import NoReplica, Replicas, lagging_replica
from .sources.models import Robot

SECRET = "Canary" * 6

(ROUTER,) = [
    block
    for block in blocks(page("how-to/run-on-many-machines"), "python")
    if "class ReplicaRouter" in block
]


@pytest.fixture
def router(settings):
    """The router that the page about deployment shows."""
    module = {}
    exec(ROUTER, module)  # noqa: S102 - our own documentation
    settings.DATABASE_ROUTERS = [module["ReplicaRouter"]()]
    return settings.DATABASE_ROUTERS[0]


@pytest.fixture(params=["compiled", "queryset", "cached"])
def way(request, settings, monkeypatch):
    """How keys are found."""
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": "null"}
    key_cache.reset()
    if request.param == "queryset":
        monkeypatch.setattr(statements, "_compile", lambda model, alias: None)
        monkeypatch.setattr(statements, "_statements", {})
    if request.param == "cached":
        settings.FRAPPE_TOKENS["CACHE"] = "default"
        cache.clear()


def code(response):
    return response.json().get("code")


@pytest.mark.usefixtures("way")
@pytest.mark.django_db(transaction=True, databases=["default", "replica"])
def test_replica_that_lags_behind_revives_nothing_and_hides_nothing(
    keys, make_user, router, tmp_path
):
    grace = generate_keys(make_user("grace"))
    with lagging_replica(tmp_path, keys.instance.user, keys.instance):
        assert ApiKey.objects.get().revoked_at is None  # it is read by others
        assert ask(grace).json() == {"message": "grace"}
        assert ask(keys).status_code == 200

        rotated = generate_keys(keys.instance.user)
        assert code(ask(keys)) == "invalid_credentials"
        assert ask(rotated).status_code == 200

        user = rotated.instance.user
        user.is_active = False
        user.save()
        assert code(ask(rotated)) == "user_inactive"
        user.is_active = True
        user.save()
        assert ask(rotated).status_code == 200

        revoke(rotated.instance)
        assert code(ask(rotated)) == "key_revoked"
        assert attempt(rotated) is Reason.KEY_REVOKED
        assert ApiKey.objects.get().revoked_at is None


@pytest.mark.usefixtures("way")
@pytest.mark.django_db(transaction=True)
def test_unknown_key_takes_one_query_and_none_at_a_replica(
    keys, settings, django_assert_num_queries
):
    settings.DATABASE_ROUTERS = [NoReplica()]
    for model in (ApiKey, Robot):
        with django_assert_num_queries(1):
            assert lookup.find(model, "unknown") is None


@pytest.mark.usefixtures("way")
@pytest.mark.django_db(transaction=True)
def test_columns_that_were_not_loaded_come_from_where_the_key_is_written(keys, settings):
    settings.DATABASE_ROUTERS = [NoReplica()]
    for _ in range(2):
        key = attempt(keys)
        assert key.created_at == keys.instance.created_at
        assert key.user.check_password(PASSWORD)


@pytest.mark.django_db(transaction=True, databases=["default", "replica"])
@pytest.mark.parametrize(
    ("change", "state"), [(disable, "disabled"), (enable, "active"), (revoke, "revoked")]
)
def test_key_from_a_replica_that_was_changed_is_as_it_was_written(keys, tmp_path, change, state):
    if change is enable:
        disable(keys.instance)
    with lagging_replica(tmp_path, keys.instance.user, keys.instance):
        key = ApiKey.objects.using("replica").get()

        assert change(key)

        assert key.state == state


@pytest.mark.django_db(transaction=True)
def test_leaked_key_that_no_replica_has_yet_is_revoked(make_user, settings, mailoutbox):
    keys = generate_keys(make_user("ada", email="ada@example.com"))
    settings.DATABASE_ROUTERS = [NoReplica()]

    assert revoke_leaked("", keys.api_secret)

    assert ApiKey.objects.using("default").get().is_revoked
    assert [mail.to for mail in mailoutbox] == [["ada@example.com"]]


@pytest.mark.django_db(transaction=True)
def test_key_of_a_user_whom_no_replica_has_yet_is_revoked(make_user, settings, mailoutbox):
    generate_keys(make_user("ada", email="ada@example.com"))
    settings.FRAPPE_TOKENS = {"NOTIFY_CHANGES": True}
    settings.DATABASE_ROUTERS = [NoReplica()]
    key = ApiKey.objects.using("default").get()

    assert revoke(key)

    assert ApiKey.objects.using("default").get().is_revoked
    assert [mail.to for mail in mailoutbox] == [["ada@example.com"]]


@pytest.mark.django_db(transaction=True)
def test_pair_of_a_user_whom_no_replica_has_yet_is_imported(user, settings):
    settings.DATABASE_ROUTERS = [NoReplica()]

    import_keys([ImportedPair(1, "ada", "chosen", Secret(SECRET))])

    assert ApiKey.objects.using("default").get().user_id == user.pk


@pytest.mark.django_db(transaction=True)
def test_user_is_deleted_without_reading_their_keys_from_a_replica(keys, settings):
    settings.DATABASE_ROUTERS = [NoReplica()]

    keys.instance.user.delete()

    assert not ApiKey.objects.using("default").exists()


@pytest.mark.django_db(transaction=True)
def test_pair_that_no_replica_has_yet_is_found_in_all_sources(user, settings):
    settings.FRAPPE_TOKENS = {"SOURCES": {"Robot": "sources.Robot"}}
    row = Robot.objects.create(user=user)
    settings.DATABASE_ROUTERS = [NoReplica()]

    with pytest.raises(ValidationError, match="belongs to another source"):
        set_up_pair(user, row.api_key, SECRET)

    assert set_up_pair(user, "ftk_other", SECRET).outcome == "created"


@pytest.mark.django_db(transaction=True, databases=["default", "replica"])
def test_key_can_be_read_again_from_a_replica(keys, router, tmp_path):
    with lagging_replica(tmp_path, keys.instance.user, keys.instance):
        revoke(keys.instance)
        key = ApiKey.objects.get()
        assert key.revoked_at is None
        key.refresh_from_db(using="replica")
        assert key.revoked_at is None
        key.refresh_from_db(from_queryset=ApiKey.objects.using("replica"))
        assert key.revoked_at is None
        key.refresh_from_db()
        assert key.revoked_at is not None

        read_too_early = ApiKey.objects.get()
        assert not revoke(read_too_early)
        assert read_too_early.revoked_at is not None


def test_documented_router_sends_the_toolkit_to_the_primary_database(router):
    from oauth2_provider.models import Grant

    assert (router.db_for_read(Grant), router.db_for_read(ApiKey)) == ("default", "replica")
    assert {router.db_for_write(Grant), router.db_for_write(ApiKey)} == {"default"}
    assert router.allow_relation(None, None)
    assert router.allow_migrate("default", "auth")
    assert not router.allow_migrate("replica", "auth")


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


@pytest.mark.django_db(transaction=True)
def test_notices_are_neither_repeated_nor_kept_because_of_a_replica(
    make_user, settings, mailoutbox
):
    with time_machine.travel(NOON, tick=False) as clock:
        key = generate_keys(make_user("ada", email="ada@example.com")).instance
        settings.DATABASE_ROUTERS = [NoReplica()]

        clock.shift(100 * DAY)
        for _ in range(2):
            run("notify_keys")
        assert len(mailoutbox) == SentNotice.objects.using("default").count() == 1

        revoke(key)
        clock.shift(100 * DAY)
        run("notify_keys")
        assert not SentNotice.objects.using("default").exists()


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
