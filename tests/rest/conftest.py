import json
from contextlib import contextmanager
from datetime import datetime, timezone

import pytest
from django.db import connection
from django.test import Client

from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey

from ..conftest import PASSWORD, token_header

KEYS = "/api/keys/"
WHO = "/api/method/frappe.auth.get_logged_user"
GENERATE = "/api/method/frappe.core.doctype.user.user.generate_keys"

NOW = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
FIELDS = {
    *("api_key", "name", "user", "scopes", "read_only", "allowed_ips", "rate_limit"),
    *("expires_at", "revoked_at", "last_used_at", "last_used_ip", "created_at", "rotated_at"),
    *("description", "metadata", "self_rotate", "disabled_at"),
}


def send(by, method, path="", body=None, **options):
    """Send a request under ``keys/``; bytes as they are, any other ``body`` as JSON."""
    headers = {} if by is None else {"authorization": token_header(by)}
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body)
    return Client().generic(
        method,
        KEYS + path,
        content,
        **{"content_type": "application/json", **options, "headers": headers},
    )


def works(api_key, api_secret):
    token = f"token {api_key}:{api_secret}"
    return Client().get(WHO, headers={"authorization": token}).status_code == 200


def after_lookup(words, action):
    """Run ``action`` once, after the first statement about keys that has these words."""
    pending = [action]

    def execute_then_act(execute, sql, *more):
        result = execute(sql, *more)
        if words in sql and "frappe_tokens_apikey" in sql and pending:
            pending.pop()()
        return result

    return connection.execute_wrapper(execute_then_act)


def rows():
    """Everything that is stored about all keys."""
    return list(ApiKey.objects.order_by("pk").values())


@contextmanager
def assert_unchanged():
    """Assert that the block changes no key."""
    before = rows()
    yield
    assert rows() == before


def assert_refused(response, status, code, sentence=""):
    assert response.status_code == status, response.content
    body = response.json()
    assert set(body) == {"detail", "code"}
    assert body["code"] == code
    assert sentence in body["detail"]
    assert_no_secret(response)


def assert_wrong(response, *fields, sentence=""):
    """Assert that it is a 400 about exactly these fields, in DRF's form."""
    assert response.status_code == 400, response.content
    assert set(response.json()) == set(fields)
    assert sentence in str(response.json())
    assert_no_secret(response)


def assert_no_secret(response):
    assert response["Content-Type"] == "application/json"
    assert "no-store" in response["Cache-Control"]
    text = response.content.decode()
    assert "fts_" not in text
    assert "sha256$" not in text


@pytest.fixture
def manager(system_manager):
    """The keys of a System Manager. Keys only manage those that allow no more than they do."""
    return generate_keys(system_manager, self_rotate=True)


@pytest.fixture
def root(make_user):
    """The keys of a superuser."""
    return generate_keys(make_user("root", is_superuser=True))


@pytest.fixture
def browser(system_manager):
    """The browser of a System Manager who has signed in."""
    client = Client(enforce_csrf_checks=True)
    assert client.login(username="manager", password=PASSWORD)
    client.get("/admin/password_change/")  # sets the CSRF token
    return client


@pytest.fixture
def self_service(settings):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}
