"""A connection that ended while it was idle, as when the database restarts, is replaced."""

import logging
import time
from contextlib import closing, contextmanager
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.core.cache import caches
from django.db import close_old_connections, connection, transaction
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import AccessToken

from frappe_tokens.db import close_lost_connections
from frappe_tokens.exceptions import Reason
from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey

from .client import WHO, ask, attempt, with_wrong_secret
from .groups import leave_out

pytestmark = pytest.mark.django_db(transaction=True)

SECONDS = 30
BACKENDS = {
    "postgresql": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend(%s)"),
    "mysql": ("SELECT CONNECTION_ID()", "KILL %s"),
}
IS_ALIVE = {
    "postgresql": "SELECT 1 FROM pg_stat_activity WHERE pid = %s",
    "mysql": "SELECT 1 FROM information_schema.processlist WHERE id = %s",
}


def query(using, sql, *params):
    with using.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchone() if cursor.description else None


def lose():
    """The server ends this thread's connection, which doesn't notice."""
    which, end = BACKENDS[connection.vendor]
    (pid,) = query(connection, which)
    with closing(connection.copy()) as other:
        query(other, end, pid)
        give_up = time.monotonic() + SECONDS
        while query(other, IS_ALIVE[connection.vendor], pid):
            assert time.monotonic() < give_up


@pytest.fixture(autouse=True)
def server():
    if connection.vendor not in BACKENDS:
        leave_out("Lost connections", "are those to a server", in_ci_too=True)
    yield
    connection.close()


@pytest.fixture
def idle():
    """Loses the connection between two requests."""

    def lose_between():
        close_old_connections()  # as Django does when a request ends
        lose()
        close_old_connections()  # and when one begins

    with kept_open():
        yield lose_between


@contextmanager
def kept_open():
    before = connection.settings_dict["CONN_MAX_AGE"]
    connection.close()
    connection.settings_dict["CONN_MAX_AGE"] = None
    connection.connect()
    yield
    connection.settings_dict["CONN_MAX_AGE"] = before


@pytest.fixture(params=["uncached", "cached"])
def cache(request, settings):
    name = None
    if request.param == "cached":
        settings.CACHES = {
            "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "x"}
        }
        name = "default"
    settings.FRAPPE_TOKENS = {"CACHE": name}
    yield name
    caches["default"].clear()


def test_request_replaces_it(cache, idle, keys):
    for _ in range(3):
        idle()
        response = ask(keys)
        assert (response.status_code, response.json()) == (200, {"message": "ada"})


@pytest.mark.parametrize("health_checks", [True, False])
def test_request_replaces_it_with_and_without_health_checks(idle, keys, monkeypatch, health_checks):
    monkeypatch.setattr(connection, "health_check_enabled", health_checks)
    idle()

    assert ask(keys).status_code == 200


def test_wrong_credentials_stay_refused(cache, idle, keys):
    idle()
    assert ask(with_wrong_secret(keys)).status_code == 401

    revoke(keys.instance)
    idle()
    assert attempt(keys) is Reason.KEY_REVOKED


def test_access_token_is_looked_up_again(idle, user):
    token = "a-made-up-access-token"
    AccessToken.objects.create(
        user=user, token=token, expires=timezone.now() + timedelta(hours=1), scope="read write"
    )
    idle()

    response = Client(headers={"authorization": f"Bearer {token}"}).get(WHO)

    assert (response.status_code, response.json()) == (200, {"message": "ada"})


def test_transaction_is_not_repeated(idle, keys):
    """What it has done before, and its locks, are lost."""
    close_old_connections()

    with transaction.atomic():
        Group.objects.create(name="before")
        lose()
        assert attempt(keys) is Reason.SERVICE_UNAVAILABLE

    assert not Group.objects.filter(name="before").exists()
    assert attempt(keys).user.username == "ada"


def test_connection_of_this_request_is_not_replaced(keys):
    """It may have a state, such as the tenant."""
    connection.close()
    connection.connect()
    lose()

    assert attempt(keys) is Reason.SERVICE_UNAVAILABLE


def test_transaction_without_autocommit_is_not_repeated(idle, keys):
    close_old_connections()
    transaction.set_autocommit(False)
    lose()

    assert attempt(keys) is Reason.SERVICE_UNAVAILABLE


def test_view_can_query_after_a_cached_key(idle, user, settings, caplog):
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    settings.FRAPPE_TOKENS = {
        "CACHE": "default",
        "LAST_USED_INTERVAL": timedelta(microseconds=1),
        "CACHE_TIMEOUT": timedelta(hours=1),
    }
    keys = generate_keys(user)
    ask(keys)
    idle()

    assert attempt(keys).user.username == "ada"
    assert ApiKey.objects.count() == 1


def test_connection_in_use_is_kept(idle):
    close_old_connections()
    with pytest.raises(Exception, match="no_such_table"):
        query(connection, "SELECT 1 FROM no_such_table")

    assert close_lost_connections() is False
    assert query(connection, "SELECT 1") == (1,)


def test_server_that_stays_away_is_503(idle, keys, monkeypatch, caplog):
    idle()
    monkeypatch.setitem(connection.settings_dict, "HOST", "127.0.0.1")
    monkeypatch.setitem(connection.settings_dict, "PORT", "1")

    assert attempt(keys) is Reason.SERVICE_UNAVAILABLE

    (record,) = caplog.records
    assert (record.name, record.levelno) == ("frappe_tokens.verification", logging.ERROR)
    assert keys.api_secret not in caplog.text
