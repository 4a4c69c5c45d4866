"""The database doesn't answer, or lacks tables: the response is 503, never 500."""

import logging
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.core.cache import caches
from django.db import IntegrityError, InterfaceError, OperationalError, ProgrammingError, connection
from django.test import Client
from oauth2_provider.models import AccessToken, Application

from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey, ApiRequestLog

from .addresses import calls
from .client import WHO
from .conftest import PASSWORD, bearer_header
from .tables import gone

pytestmark = pytest.mark.django_db(transaction=True)

OAUTH = "/api/method/frappe.integrations.oauth2."

SHORT = ("frappe.auth.get_logged_user", "frappe.core.api.auth.get_logged_user", "ping", "version")
NEED_NO_DATABASE = {
    (method, f"/api/method/{name}") for method in ("GET", "POST") for name in SHORT
} | {
    ("GET", f"{OAUTH}{name}")
    for name in ("get_token", "revoke_token")  # not by this method
}
DOCUMENTS = "/api/.well-known/"

CLIENT = {"client_id": "a-client", "client_secret": "its-secret"}
BODIES = {
    ("POST", "/api/keys/revoke-leaked"): {"token": "0123456789abcde:0123456789abcde"},
    ("POST", f"{OAUTH}get_token"): {"grant_type": "client_credentials", **CLIENT},
    ("POST", f"{OAUTH}register_client"): {"redirect_uris": ["https://app.example.com/"]},
    ("POST", f"{OAUTH}revoke_token"): {"token": "a-token"},
    ("POST", f"{OAUTH}introspect_token"): {"token": "a-token", **CLIENT},
}


@pytest.fixture(autouse=True)
def cached(settings):
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            "LOCATION": "database away",
        }
    }
    settings.FRAPPE_TOKENS = {"CACHE": "default"}
    yield
    caches["default"].clear()


@pytest.fixture
def manager(system_manager):
    """A manager's keys, which are cached."""
    keys = generate_keys(system_manager)
    for _ in range(2):  # the first use is recorded
        assert call("GET", WHO, keys).status_code == 200
    return keys


@contextmanager
def database_away(error=OperationalError):
    queries = []

    def fail(execute, sql, *args):
        if ApiRequestLog._meta.db_table not in sql:
            queries.append(sql)
        raise error("server closed the connection unexpectedly")

    with connection.execute_wrapper(fail):
        yield queries
    connection.close()


def call(method, path, by, client=None):
    send = getattr(client or Client(), method.lower())
    options = {} if by is None else {"headers": {"authorization": bearer_header(by)}}
    takes_json = not path.startswith(OAUTH) or path.endswith("register_client")
    if method in {"POST", "PATCH"} and takes_json:
        options["content_type"] = "application/json"
    default = {"user": "ada"} if "generate" in path or path.endswith("user.user") else {}
    return send(path, BODIES.get((method, path), default), **options)


def assert_unavailable(response):
    assert response.status_code == 503, response.content
    assert response["Retry-After"] == "5"
    body = response.json()
    if "exc_type" in body:
        assert (body["exc_type"], body["code"]) == ("SessionStopped", "service_unavailable")
    elif "error" in body:
        assert body == {"error": "temporarily_unavailable"}
    else:
        assert set(body) == {"detail", "code"}
        assert body["code"] == "service_unavailable"
    assert "server closed" not in response.content.decode()


@pytest.mark.parametrize(("method", "address"), calls(), ids=str)
def test_no_address_responds_500(manager, method, address, settings):
    settings.FRAPPE_TOKENS = {**settings.FRAPPE_TOKENS, "OAUTH_DYNAMIC_REGISTRATION": True}
    path = address.path % {"api_key": manager.api_key}
    by = None if path.startswith(OAUTH) and "openid" not in path else manager
    browser = Client(raise_request_exception=False)
    if path.endswith("authorize"):
        assert browser.login(username="manager", password=PASSWORD)

    with database_away() as queries:
        response = call(method, path, by, browser)

    if (method, path) in NEED_NO_DATABASE or path.startswith(DOCUMENTS):
        assert queries == []
        assert response.status_code < 500
    else:
        assert_unavailable(response)


def test_no_address_responds_500_with_atomic_requests(manager, monkeypatch):
    """The transaction of a request starts before its view, and ends after it."""
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    for method, address in calls():
        path = address.path % {"api_key": manager.api_key}
        by = None if path.startswith(OAUTH) and "openid" not in path else manager

        with database_away():
            response = call(method, path, by, Client(raise_request_exception=False))

        assert response.status_code in {200, 302, 400, 404, 503}, path


MISSING = {
    "keys": (ApiKey._meta.db_table,),
    "users": (get_user_model()._meta.db_table,),
    "a column": (ApiKey._meta.db_table, "rate_limit"),
    "sessions": (Session._meta.db_table,),
    "applications": (Application._meta.db_table,),
    "access tokens": (AccessToken._meta.db_table,),
}


@pytest.mark.parametrize("missing", MISSING)
def test_no_address_responds_500_without_a_table(system_manager, settings, missing, caplog):
    settings.FRAPPE_TOKENS = {}
    keys = generate_keys(system_manager)
    browser = Client(raise_request_exception=False)
    assert browser.login(username="manager", password=PASSWORD)
    statuses = Counter()

    with gone(*MISSING[missing]):
        for method, address in calls():
            path = address.path % {"api_key": keys.api_key}
            for by in (None, keys, SimpleNamespace(token="an-access-token")):
                response = call(method, path, by, browser)
                statuses[response.status_code] += 1
                if response.status_code >= 500:
                    assert_unavailable(response)

    assert statuses[503]
    advice = [entry for entry in caplog.messages if "Run manage.py migrate." in entry]
    assert 0 < len(advice) < statuses[503]


@contextmanager
def read_only():
    """As a standby is."""
    read, write = {
        "postgresql": ("SET default_transaction_read_only = on", "RESET ALL"),
        "mysql": ("SET SESSION TRANSACTION READ ONLY", "SET SESSION TRANSACTION READ WRITE"),
        "sqlite": ("PRAGMA query_only = ON", "PRAGMA query_only = OFF"),
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(read)
        try:
            yield
        finally:
            cursor.execute(write)


def test_what_writes_is_503_while_the_database_is_read_only(manager, user):
    with read_only():
        assert call("GET", WHO, manager).status_code == 200
        assert call("GET", "/api/keys", manager).status_code == 200
        for method, path in (
            ("POST", "/api/keys"),
            ("POST", f"/api/keys/{manager.api_key}/rotate"),
            ("POST", "/api/method/frappe.core.doctype.user.user.generate_keys"),
        ):
            assert_unavailable(call(method, path, manager))


def test_session_that_cannot_be_read_is_503(system_manager):
    browser = Client(raise_request_exception=False)
    assert browser.login(username="manager", password=PASSWORD)

    for path in ("/api/keys", WHO, f"{OAUTH}authorize"):
        with database_away():
            assert_unavailable(call("GET", path, None, browser))


def test_use_that_cannot_be_recorded_changes_nothing(manager, settings):
    settings.FRAPPE_TOKENS = {
        **settings.FRAPPE_TOKENS,
        "LAST_USED_INTERVAL": timedelta(microseconds=1),
        "REQUEST_LOG": "durable",
    }

    with database_away() as queries:
        response = call("GET", WHO, manager)

    assert response.status_code == 200
    assert any(statement.startswith("UPDATE") for statement in queries)


def test_use_without_a_column_for_it_changes_nothing(system_manager, settings, caplog):
    settings.FRAPPE_TOKENS = {}
    keys = generate_keys(system_manager)

    with gone(ApiKey._meta.db_table, "last_used_ip"):
        for _ in range(2):
            assert call("GET", WHO, keys).status_code == 200

    (record,) = (entry for entry in caplog.records if entry.name == "frappe_tokens.lookup")
    assert keys.api_key in record.getMessage()
    assert "Run manage.py migrate." in record.getMessage()
    assert keys.api_secret not in caplog.text


@pytest.mark.parametrize("error", [IntegrityError, ProgrammingError])
@pytest.mark.parametrize("path", ["/api/keys", f"{OAUTH}openid_profile"])
def test_other_database_errors_stay_server_errors(manager, path, error):
    with database_away(error), pytest.raises(error):
        call("GET", path, manager)


@pytest.mark.parametrize("path", ["/api/keys", f"{OAUTH}openid_profile"])
def test_cause_is_logged_once(manager, path, caplog):
    with database_away(InterfaceError):
        for _ in range(2):
            assert_unavailable(call("GET", path, manager))

    (record,) = (entry for entry in caplog.records if entry.name == "frappe_tokens.api.errors")
    assert record.levelno == logging.ERROR
    assert "server closed the connection" in caplog.text
    assert manager.api_secret not in caplog.text
