import asyncio
import base64
import gc
import logging
import os
import re
import secrets
from contextlib import contextmanager

import pytest
from asgiref.sync import SyncToAsync
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.core.cache import cache
from django.db import connection, connections
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from frappe_tokens import logs
from frappe_tokens.keys import generate_keys
from frappe_tokens.lookup import cache as key_cache
from frappe_tokens.lookup import last_used
from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log import insertion, unproven
from frappe_tokens.verification import limiter
from frappe_tokens.verification.decision import RequestInfo

from . import replicas
from .chromium import chromium  # noqa: F401 - a fixture
from .groups import LEFT_OUT

# How long a statement waits for locks, before the statement itself.
LIMIT = re.compile(r"^SET (LOCAL [^;]*;|STATEMENT .*? FOR) ")

PASSWORD = "a long made-up password"

# Clients, schemas, other packages, bodies, rights, the users' own pages and examples of the
# documentation, for which one database is like another.
ONCE = (
    *("tests/account/", "tests/agents/", "tests/clients/", "tests/move/", "tests/openapi/"),
    *("tests/test_bodies.py", "tests/test_deeds.py"),
    *("tests/test_examples.py", "tests/test_snippets.py"),
    *(f"tests/test_{page}_documentation.py" for page in ("container", "email", "how_to", "leak")),
)


@pytest.fixture(autouse=True)
def no_failures_counted_so_far(monkeypatch):
    """Hundreds of tests fail on purpose from one address, in less than a minute."""
    limiter.reset()
    unproven.limit.reset()
    monkeypatch.setattr(limiter, "PREFIX", f"failures-{secrets.token_hex(4)}:")
    monkeypatch.setattr(unproven, "PREFIX", f"logged-{secrets.token_hex(4)}:")


@pytest.fixture(autouse=True)
def nothing_was_reported_lately():
    logs.reset()
    last_used.reset()


@pytest.fixture
def as_in_production(monkeypatch):
    """The request log doesn't know that its database is a test's."""
    monkeypatch.setattr(insertion, "is_test_run", lambda: False)


@pytest.fixture(autouse=True)
def no_loop_of_the_browsers(request, monkeypatch):
    """Playwright's loop counts as running in this thread, from the first browser to the end.

    So no other could run in a test that comes after it, and Django would refuse no query in one.
    """
    loop = asyncio._get_running_loop()
    if request.node.get_closest_marker("browser") is None:
        asyncio._set_running_loop(None)
        monkeypatch.delenv("DJANGO_ALLOW_ASYNC_UNSAFE", raising=False)
    yield
    asyncio._set_running_loop(loop or asyncio._get_running_loop())


@pytest.fixture(autouse=True)
def the_language_of_the_settings():
    """What a request activates stays active in its thread, which here is the next test's."""
    yield
    translation.deactivate()


@pytest.fixture(autouse=True)
def no_connection_is_left_to_the_next_loop():
    """All loops without a server's context share one thread, and so its connections.

    The next test may not be allowed to use them.
    """
    yield
    if SyncToAsync.single_thread_executor._threads:
        SyncToAsync.single_thread_executor.submit(connections.close_all).result()


@pytest.fixture(autouse=True)
def nothing_is_read_too_early():
    """With ``REPLICA``: what the app has written, it reads from where it was written."""
    if not os.environ.get("REPLICA"):
        yield
        return
    replicas.reset()
    with connection.execute_wrapper(replicas.watch):
        yield
    found = list(dict.fromkeys(replicas.too_early))
    replicas.reset()
    assert found == []


@pytest.fixture
def make_user(db):
    """Makes users: ``make_user("ada", is_staff=True, permissions=["auth.view_user"])``."""

    def make(username="ada", permissions=(), **fields):
        user = get_user_model()._default_manager.create_user(
            **{get_user_model().USERNAME_FIELD: username, "password": PASSWORD, **fields}
        )
        for name in permissions:
            app_label, codename = name.split(".")
            user.user_permissions.add(
                Permission.objects.get(content_type__app_label=app_label, codename=codename)
            )
        return user

    return make


@pytest.fixture
def user(make_user):
    return make_user("ada")


@pytest.fixture
def system_manager(make_user):
    """Staff in the group System Manager, who may see users."""
    manager = make_user("manager", is_staff=True, permissions=("auth.view_user",))
    # The group is remade here because tests with real transactions empty the database.
    group, _ = Group.objects.get_or_create(name="System Manager")
    group.permissions.add(
        Permission.objects.get(content_type__app_label="frappe_tokens", codename="generate_keys")
    )
    manager.groups.add(group)
    return manager


@pytest.fixture
def keys(user):
    """The keys of ``user``."""
    return generate_keys(user)


def token_header(generated):
    return f"token {generated.token}"


def basic_header(generated):
    return "Basic " + base64.b64encode(generated.token.encode()).decode()


def bearer_header(generated):
    return f"Bearer {generated.token}"


@pytest.fixture(
    params=[token_header, basic_header, bearer_header], ids=["token", "basic", "bearer"]
)
def header_of(request):
    """The Authorization header of a pair, by each of the three schemes in turn."""
    return request.param


def info_of(method="GET", **meta):
    """The info of a request; ``meta`` is more of its ``META``."""
    return RequestInfo(RequestFactory().generic(method, "/", **meta))


@pytest.fixture
def statements():
    """Records the verbs that reach the database: ``with statements() as verbs: ...``.

    Less those of transactions, as the tests' own decide whether there are savepoints, and less the
    request log's, which has tests of its own.
    """

    @contextmanager
    def record():
        verbs = []
        with CaptureQueriesContext(connection) as captured:
            yield verbs
        verbs += [
            verb
            for verb in (
                LIMIT.sub("", query["sql"]).split()[0].upper()
                for query in captured
                if ApiRequestLog._meta.db_table not in query["sql"]
            )
            if verb in {"SELECT", "INSERT", "UPDATE", "DELETE"}
        ]

    return record


@pytest.fixture
def cached_keys(settings):
    """Keys are cached, and none is at first."""
    # The INSERTs of the request log are no part of what a cache saves.
    settings.FRAPPE_TOKENS = {"CACHE": "default", "REQUEST_LOG": "null"}
    cache.clear()
    key_cache.reset()
    yield
    cache.clear()
    key_cache.reset()


@pytest.fixture
def log(caplog):
    """Receives what the app logs."""
    caplog.set_level(logging.INFO, logger="frappe_tokens")
    return caplog


@contextmanager
def receiving(*signals, sender=None):
    """Collects the calls of receivers of these signals, from all senders or one."""
    calls = []

    def receive(**arguments):
        calls.append(arguments)

    for signal in signals:
        signal.connect(receive, sender=sender)
    try:
        yield calls
    finally:
        for signal in signals:
            signal.disconnect(receive, sender=sender)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Set the marks that follow from the database that a test uses, before ``-m`` reads them."""
    for item in items:
        mark = item.get_closest_marker("django_db")
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & {"transactional_db", "live_server"}:
            item.add_marker("commits")
        elif mark is not None:
            if mark.kwargs.get("transaction"):
                item.add_marker("commits")
        elif not fixtures & {"db", "redis_url"} and item.get_closest_marker("process") is None:
            item.add_marker("pure")
        if item.nodeid.startswith(ONCE) and not any(
            item.get_closest_marker(name) for name in ("parallel", "server")
        ):
            item.add_marker("once")


def pytest_collection_finish():
    """Have the garbage collector skip what stays until the end, which makes a tenth of the time."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session):
    """Where tests run side by side: hand what this process left out to the one that reports."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left out"] = LEFT_OUT


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    LEFT_OUT.update(getattr(node, "workeroutput", {}).get("left out", {}))


def pytest_terminal_summary(terminalreporter):
    """Say which groups of tests were left out, and what they would need."""
    if LEFT_OUT:
        terminalreporter.section("left out on this machine")
        for group, why in sorted(LEFT_OUT.items()):
            terminalreporter.write_line(f"{group}: {why}")
