"""The log in a database of its own, by the documentation's router. The users' has no such table."""

from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import caches
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection, connections, router
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from frappe_tokens.models import ApiKey, ApiRequestLog
from frappe_tokens.request_log import current_sink, pruning

from ..client import GENERATE, WHO, client_of, with_wrong_secret
from ..log_rows import logged
from ..log_tables import ELSEWHERE, TABLE, log_gone
from .conftest import logged_paths, wait_until
from .test_documentation import examples, run

# A test may only use databases that were there before it: "log" is this one.
pytestmark = pytest.mark.django_db(transaction=True, databases=["default", ELSEWHERE])

LOG = "/admin/frappe_tokens/apirequestlog/"
DAY = timedelta(days=1)


@pytest.fixture
def own_log(transactional_db, settings, monkeypatch, tmp_path):
    """The database, as documented. The default one has no table of the log meanwhile."""
    names = {"DATABASES": {"default": connection.settings_dict}}
    sources = examples("A database of its own")
    run(names, *(source.replace('"log"', repr(ELSEWHERE)) for source in sources))
    assert names["DATABASE_ROUTERS"] == ["logs.RequestLogRouter"]
    own = names["DATABASES"][ELSEWHERE]
    assert own["NAME"] == ELSEWHERE
    own["NAME"] = f"{connection.settings_dict['NAME']}_log"
    if connection.vendor == "sqlite":
        own["NAME"] = str(tmp_path / "log.sqlite3")
    else:
        _execute(f"DROP DATABASE IF EXISTS {own['NAME']}", f"CREATE DATABASE {own['NAME']}")
    before = connections[ELSEWHERE]
    monkeypatch.setitem(connections.settings, ELSEWHERE, own)
    connections[ELSEWHERE] = type(connections["default"])(own, ELSEWHERE)
    settings.DATABASE_ROUTERS = [names["RequestLogRouter"]()]
    try:
        # Those of all apps take ten times as long.
        call_command("migrate", "frappe_tokens", database=ELSEWHERE, verbosity=0)
        with log_gone():
            yield connections[ELSEWHERE]
    finally:
        settings.DATABASE_ROUTERS = []
        connections[ELSEWHERE].close()
        connections[ELSEWHERE] = before
        if connection.vendor != "sqlite":
            _execute(f"DROP DATABASE {own['NAME']}")


def _execute(*statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.fixture
def manager(client, system_manager):
    client.force_login(system_manager)
    return client


def test_migrate_makes_the_logs_table_only_and_only_there(own_log):
    assert set(own_log.introspection.table_names()) == {TABLE, "django_migrations"}
    for model in (ApiRequestLog, ApiKey, get_user_model()):
        is_log = model is ApiRequestLog
        assert router.allow_migrate_model(ELSEWHERE, model) is is_log
        assert router.allow_migrate_model("default", model) is not is_log


def test_checks_say_nothing_about_it(own_log, settings):
    def said():
        return run_checks(databases=["default", ELSEWHERE], include_deployment_checks=True)

    messages = said()

    settings.DATABASE_ROUTERS = []
    assert messages == said()


@pytest.mark.parametrize("log", ["durable", "buffered"])
def test_requests_are_written_there(own_log, settings, keys, log):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": log}

    assert client_of(keys).get(WHO).status_code == 200
    assert client_of(with_wrong_secret(keys)).get(WHO).status_code == 401
    assert client_of(keys).post(GENERATE, {"user": "ada"}).status_code == 403
    current_sink().close()

    assert logged_paths() == [WHO, WHO, GENERATE]
    with own_log.cursor() as cursor:
        cursor.execute(f"SELECT user_id FROM {TABLE} ORDER BY id")
        users = list(cursor.fetchall())
        assert users == [(keys.instance.user.pk,), (None,), (keys.instance.user.pk,)]


def test_usage_counts_there(own_log, keys):
    for _ in range(3):
        logged(keys.instance)
    logged(keys.instance, "key_expired")

    response = client_of(keys).get(f"/api/keys/{keys.api_key}/usage/")

    assert response.status_code == 200
    assert response.json()["usage"][-1]["outcomes"] == {"accepted": 3, "key_expired": 1}


def test_admin_shows_what_is_there(own_log, manager, keys, make_user):
    gone = make_user("gone")
    row, _ = logged(keys.instance), logged(user_id=gone.pk)
    gone.delete()
    pages = [LOG, f"{LOG}{row.pk}/change/", f"{LOG}?q=ada", f"{LOG}?outcome=accepted"]
    pages.append(reverse("admin:auth_user_change", args=[keys.instance.user.pk]))
    pages.append(reverse("admin:frappe_tokens_apikey_change", args=[keys.instance.pk]))

    with CaptureQueriesContext(connection) as queries:
        for page in pages:
            response = manager.get(page)
            assert response.status_code == 200
            assert "ada" in response.content.decode()
            assert "can't be read" not in response.content.decode()

    assert not [query["sql"] for query in queries if TABLE in query["sql"]]
    assert f"{gone.pk or ''} (deleted)" in manager.get(LOG).content.decode()


def test_user_is_deleted_and_the_log_stays(own_log, client, make_user, keys):
    logged(keys.instance)
    root = make_user("root", is_superuser=True, is_staff=True)
    client.force_login(root)
    url = reverse("admin:auth_user_delete", args=[keys.instance.user.pk])

    assert client.get(url).status_code == 200
    assert client.post(url, {"post": "yes"}).status_code == 302

    assert not get_user_model().objects.filter(username="ada").exists()
    assert ApiRequestLog.objects.get().user_id is not None


def test_old_rows_are_deleted_there(own_log, settings, keys, monkeypatch):
    def old(days):
        logged(keys.instance, at=timezone.now() - days * DAY)

    old(40)
    call_command("prune_request_log", older_than=30 * DAY, stdout=StringIO())
    assert not ApiRequestLog.objects.exists()

    old(40)
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": "durable", "REQUEST_LOG_RETENTION": 30 * DAY}
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    caches["default"].clear()  # another test may have begun to delete within the last ten minutes
    monkeypatch.setattr(pruning, "_next", 0.0)
    assert Client(headers={"Authorization": f"token {keys.token}"}).get(WHO).status_code == 200
    wait_until(lambda: logged_paths() == [WHO])
    wait_until(lambda: pruning._thread is None or not pruning._thread.is_alive())


def test_revoked_and_deleted_keys_stay_in_the_log(own_log, manager, keys):
    logged(keys.instance)
    keys.instance.delete()

    assert keys.api_key in manager.get(LOG).content.decode()
