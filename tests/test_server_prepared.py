"""The statement as PostgreSQL keeps it: what it brings, and that nobody notices where it cannot."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, ProgrammingError, connection, connections, transaction
from django.db.backends.utils import CursorWrapper

from frappe_tokens import prepared, server_prepared
from frappe_tokens.base_models import AbstractApiKey
from frappe_tokens.keys import GeneratedKeys
from frappe_tokens.models import ApiKey
from frappe_tokens.prepared import prepared_select

from .groups import leave_out
from .instances import described
from .test_prepared import PREPARED, by_queryset, full

pytestmark = pytest.mark.django_db(transaction=True)

TABLE = ApiKey._meta.db_table
SECONDS = 30


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is known of the database yet, as when a process starts."""
    if connection.vendor != "postgresql":
        leave_out("PostgreSQL", "prepares statements", in_ci_too=True)
    monkeypatch.setattr(prepared, "_prepared", {})
    server_prepared._shared.cache_clear()
    yield
    server_prepared._shared.cache_clear()


@contextmanager
def connected(**options: Any) -> Iterator[Any]:
    """A new connection to the tests' database; ``options`` are entries of ``DATABASES``."""
    twin = connection.copy()
    # Which most projects do not name.
    twin.settings_dict.pop("DISABLE_SERVER_SIDE_CURSORS", None)
    twin.settings_dict.update(options)
    try:
        yield twin
    finally:
        twin.close()


@pytest.fixture
def client() -> Iterator[Any]:
    with connected() as twin:
        yield twin


def find(client: Any, api_key: str, model: type[AbstractApiKey] = ApiKey) -> Any:
    statement = prepared_select(model, client)
    assert statement is not None
    row = statement.fetch(client, api_key)
    return row and statement.instance(client, row)


def execute(client: Any, sql: str) -> list[tuple[Any, ...]]:
    with client.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []


def executions(client: Any) -> list[int]:
    """How often the server executed each statement that it keeps for this connection."""
    sql = "SELECT generic_plans + custom_plans FROM pg_prepared_statements WHERE from_sql"
    return [number for (number,) in execute(client, sql)]


def test_server_prepares_it_at_a_connections_second_use(client: Any, keys: GeneratedKeys) -> None:
    for expected in ([], [1], [2], [3]):
        assert find(client, keys.api_key) == keys.instance
        assert executions(client) == expected


def test_each_connection_has_its_own(client: Any, keys: GeneratedKeys) -> None:
    for _ in range(3):
        find(client, keys.api_key)
    with connected() as other:
        for expected in ([], [1], [2]):
            assert find(other, keys.api_key) == keys.instance
            assert executions(other) == expected
    client.close()
    for expected in ([], [1], [2]):
        assert find(client, keys.api_key) == keys.instance
        assert executions(client) == expected


@pytest.mark.parametrize("model", PREPARED)
def test_brings_what_a_queryset_brings(
    client: Any, model: type[AbstractApiKey], make_user: Callable[..., Any]
) -> None:
    key = full(model, make_user("ada"))
    other = model._base_manager.create(user=make_user("bob"))
    for _ in range(8):  # custom plans at first, then a generic one
        for api_key in (key.api_key, other.api_key):
            found = find(client, api_key, model)
            assert described(found) == described(by_queryset(model, api_key))
        assert find(client, "ftk_nobodys", model) is None
        assert find(client, "' OR ''='", model) is None
    assert executions(client) == [31]


def test_sees_what_is_committed_meanwhile(client: Any, keys: GeneratedKeys) -> None:
    for read_only in (True, False, True, False):
        ApiKey.objects.update(read_only=read_only)
        assert find(client, keys.api_key).read_only is read_only
    ApiKey.objects.all().delete()
    assert find(client, keys.api_key) is None
    assert executions(client) == [4]


def test_each_tenant_finds_keys_in_its_own_schema(client: Any, keys: GeneratedKeys) -> None:
    execute(client, "CREATE SCHEMA tenant")
    try:
        for name in (TABLE, "auth_user"):
            execute(client, f"CREATE TABLE tenant.{name} AS TABLE {name}")
        execute(client, "SET search_path TO tenant")
        execute(client, "UPDATE frappe_tokens_apikey SET read_only = true")
        for _ in range(8):
            for path, read_only in (("public", False), ("tenant, public", True)):
                execute(client, f"SET search_path TO {path}")
                assert find(client, keys.api_key).read_only is read_only
        assert executions(client) == [15]
    finally:
        execute(client, "DROP SCHEMA tenant CASCADE")


def tenants_tables() -> None:
    """Tables of the same names, empty, in an earlier schema, made by another connection."""
    for name in (TABLE, "auth_user"):
        execute(connection, f"CREATE TABLE tenant.{name} (LIKE public.{name})")


def test_what_the_server_does_not_notice_ends_within_a_minute(
    client: Any, keys: GeneratedKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(client, "CREATE SCHEMA tenant")
    execute(client, "SET search_path TO tenant, public")
    try:
        for _ in range(3):
            assert find(client, keys.api_key) == keys.instance
        tenants_tables()
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + server_prepared.RENEWED_EVERY)
        assert find(client, keys.api_key) is None
        assert executions(client) == [1]
        assert find(client, keys.api_key) is None
        assert executions(client) == [2]
    finally:
        execute(connection, "DROP SCHEMA tenant CASCADE")


def test_preparing_and_executing_are_one_query_and_wait_once(
    client: Any, keys: GeneratedKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[list[str]] = []
    execute = CursorWrapper.execute

    def note(cursor: Any, sql: str, params: Any = None) -> Any:
        sent.append([statement.split()[0] for statement in sql.split("; ")])
        return execute(cursor, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", note)
    for _ in range(3):
        find(client, keys.api_key)
    monkeypatch.setattr(server_prepared, "RENEWED_EVERY", 0)
    assert find(client, keys.api_key) == keys.instance
    assert sent == [
        ["SELECT"],
        ["PREPARE", "EXECUTE"],
        ["EXECUTE"],
        ["DEALLOCATE", "PREPARE", "EXECUTE"],
    ]


# Where it is left alone


@pytest.mark.parametrize(
    "options",
    [
        {"DISABLE_SERVER_SIDE_CURSORS": True},
        {"OPTIONS": {"server_side_binding": True}},
        {"OPTIONS": {"options": "-c search_path=public"}},
    ],
)
def test_settings_of_the_database_rule_it_out(keys: GeneratedKeys, options: dict[str, Any]) -> None:
    with connected(**options) as client:
        for _ in range(4):
            assert find(client, keys.api_key) == keys.instance
        assert executions(client) == []


def test_connection_of_tenants_rules_it_out(keys: GeneratedKeys) -> None:
    present = connections["default"]
    kind = type("Tenants", (type(present),), {"schema_name": "public"})  # as django-tenants has it
    client = kind(present.copy().settings_dict)
    try:
        for _ in range(4):
            assert find(client, keys.api_key) == keys.instance
        assert executions(client) == []
    finally:
        client.close()


def test_transaction_that_django_does_not_know_of_lives_on(
    client: Any, keys: GeneratedKeys
) -> None:
    for _ in range(3):
        find(client, keys.api_key)
    execute(client, "DEALLOCATE ALL")
    execute(client, "BEGIN")
    assert find(client, keys.api_key) == keys.instance
    execute(client, "UPDATE auth_user SET first_name = 'Ada'")
    execute(client, "COMMIT")
    keys.instance.user.refresh_from_db()
    assert keys.instance.user.first_name == "Ada"


@pytest.mark.parametrize("hidden", [(), ("pgconn", "info")])
def test_driver_that_a_project_has_wrapped_is_left_alone(
    client: Any, keys: GeneratedKeys, hidden: tuple[str, ...]
) -> None:
    class Wrapped:
        __slots__ = ("_driver",)

        def __init__(self, driver: Any) -> None:
            self._driver = driver

        def __getattr__(self, name: str) -> Any:
            if name in hidden:
                raise AttributeError(name)
            return getattr(self._driver, name)

    client.ensure_connection()
    client.connection = Wrapped(client.connection)
    for _ in range(3):
        assert find(client, keys.api_key) == keys.instance


def test_within_a_transaction_the_select_is_sent(
    keys: GeneratedKeys, settings: Any, django_assert_num_queries: Any
) -> None:
    for _ in range(3):
        find(connection, keys.api_key)
    # As behind a pooler, where an error would be the end of the transaction.
    execute(connection, "DEALLOCATE ALL")
    with transaction.atomic():
        assert find(connection, keys.api_key) == keys.instance
        assert find(connection, keys.api_key) == keys.instance
    connection.set_autocommit(False)
    try:
        assert find(connection, keys.api_key) == keys.instance
        connection.rollback()
    finally:
        connection.set_autocommit(True)


def test_whoever_looks_at_queries_sees_the_select(
    client: Any, keys: GeneratedKeys, settings: Any
) -> None:
    seen: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        return execute(sql, params, many, context)

    for _ in range(3):
        find(client, keys.api_key)
    with client.execute_wrapper(note):
        find(client, keys.api_key)
    settings.DEBUG = True
    find(client, keys.api_key)
    seen += [query["sql"] for query in client.queries]
    assert [sql.split()[0] for sql in seen] == ["SELECT", "SELECT"]


# Where the server does not have it


def gone(client: Any) -> None:
    execute(client, "DEALLOCATE ALL")


def changed(client: Any) -> None:
    execute(client, f"ALTER TABLE {TABLE} ALTER rate_limit TYPE text")


def of_a_type_that_is_gone(client: Any) -> None:
    # By others, so that this connection's plans are what they were.
    execute(connection, f"ALTER TABLE {TABLE} ALTER api_key TYPE varchar(64)")
    execute(connection, "DROP EXTENSION citext")


@pytest.fixture
def citext() -> Iterator[None]:
    """API keys are of a type that an extension brings."""
    execute(connection, "CREATE EXTENSION citext")
    execute(connection, f"ALTER TABLE {TABLE} ALTER api_key TYPE citext")
    yield
    execute(connection, f"ALTER TABLE {TABLE} ALTER api_key TYPE varchar(64)")
    execute(connection, "DROP EXTENSION IF EXISTS citext")


@pytest.mark.usefixtures("citext")
@pytest.mark.parametrize("happens", [gone, changed, of_a_type_that_is_gone])
def test_statement_that_is_lost_is_done_without(
    client: Any,
    keys: GeneratedKeys,
    happens: Callable[[Any], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    kind = ApiKey._meta.get_field("rate_limit").db_type(client)
    caplog.set_level(logging.INFO, "frappe_tokens")
    for _ in range(3):
        find(client, keys.api_key)
    happens(client)
    try:
        before = executions(client)
        for _ in range(4):
            assert find(client, keys.api_key) == keys.instance
        assert executions(client) == before
    finally:
        execute(client, f"ALTER TABLE {TABLE} ALTER rate_limit TYPE {kind}")
    (message,) = caplog.messages
    assert "DISABLE_SERVER_SIDE_CURSORS" in message
    assert keys.api_key not in message


def test_statement_that_another_prepared_is_the_same(client: Any, keys: GeneratedKeys) -> None:
    for _ in range(3):
        find(client, keys.api_key)
    # Another process, which a pooler gives the same connection of the server.
    prepared._prepared.clear()
    server_prepared._shared.cache_clear()
    for _ in range(4):
        assert find(client, keys.api_key) == keys.instance
    assert executions(client) == [4]


@pytest.mark.parametrize("uses", [1, 3], ids=["before it is prepared", "after"])
def test_error_about_the_table_passes_with_it(client: Any, keys: GeneratedKeys, uses: int) -> None:
    for _ in range(uses):
        find(client, keys.api_key)
    execute(connection, f"ALTER TABLE {TABLE} RENAME TO elsewhere")
    try:
        with pytest.raises(ProgrammingError, match=TABLE):
            find(client, keys.api_key)
    finally:
        execute(connection, f"ALTER TABLE elsewhere RENAME TO {TABLE}")
    before = sum(executions(client))
    assert find(client, keys.api_key) == keys.instance
    assert sum(executions(client)) == before + 1


@pytest.mark.parametrize("uses", [1, 3], ids=["before it is prepared", "after"])
def test_error_of_another_kind_is_the_statements(
    client: Any, keys: GeneratedKeys, uses: int
) -> None:
    for _ in range(uses):
        find(client, keys.api_key)
    execute(client, "SET lock_timeout TO '50ms'")
    with connected() as other, transaction_of(other):
        execute(other, f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(OperationalError, match="lock timeout"):
            find(client, keys.api_key)
    assert find(client, keys.api_key) == keys.instance
    assert executions(client) == [uses]


def test_renewal_that_fails_for_the_moment_is_made_up_for(
    client: Any, keys: GeneratedKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        find(client, keys.api_key)
    execute(client, "SET lock_timeout TO '50ms'")
    with monkeypatch.context() as patch, connected() as other, transaction_of(other):
        patch.setattr(server_prepared, "RENEWED_EVERY", 0)
        execute(other, f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(OperationalError, match="lock timeout"):
            find(client, keys.api_key)
    for expected in ([1], [2]):
        assert find(client, keys.api_key) == keys.instance
        assert executions(client) == expected


def test_broken_connection_is_an_error_as_ever(client: Any, keys: GeneratedKeys) -> None:
    for _ in range(3):
        find(client, keys.api_key)
    ((number,),) = execute(client, "SELECT pg_backend_pid()")
    execute(connection, f"SELECT pg_terminate_backend({number}, 5000)")
    with pytest.raises(OperationalError):
        find(client, keys.api_key)
    client.close()
    for _ in range(3):
        assert find(client, keys.api_key) == keys.instance
    assert executions(client) == [2]


@contextmanager
def transaction_of(client: Any) -> Iterator[None]:
    client.set_autocommit(False)
    try:
        yield
    finally:
        client.rollback()
        client.set_autocommit(True)


# Behind a real pooler


@pytest.fixture
def pooled() -> Iterator[Callable[[], Any]]:
    """Connects to PgBouncer, which pools transactions over two connections of the server."""
    if shutil.which("pgbouncer") is None:
        leave_out("PgBouncer", "is not installed (Debian: apt-get install pgbouncer)")
    clients: list[Any] = []

    def connect() -> Any:
        clients.append(connection.copy())
        clients[-1].settings_dict.update(HOST="127.0.0.1", PORT=port)
        return clients[-1]

    with tempfile.TemporaryDirectory() as folder:
        port = _free_port()
        configuration = Path(folder, "pgbouncer.ini")
        configuration.write_text(_configuration(port))
        # It refuses to run as root.
        Path(folder).chmod(0o755)
        user = ["--user", "nobody"] if os.geteuid() == 0 else []
        process = subprocess.Popen(
            ["pgbouncer", *user, str(configuration)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for(port, process)
            yield connect
        finally:
            for client in clients:
                client.close()
            process.terminate()
            process.wait(SECONDS)


def _configuration(port: int) -> str:
    present = connection.settings_dict
    server = {
        "host": present["HOST"],
        "port": present["PORT"],
        "user": present["USER"],
        "password": present["PASSWORD"],
    }
    return f"""[databases]
* = {" ".join(f"{name}={value}" for name, value in server.items() if value)}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
"""


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + SECONDS
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None or time.monotonic() > end:
            pytest.fail("PgBouncer does not start.")
        time.sleep(0.02)


@pytest.mark.server
def test_pooler_that_swaps_the_servers_connections_goes_unnoticed(
    pooled: Callable[[], Any], keys: GeneratedKeys
) -> None:
    client, other = pooled(), pooled()
    for expected in ([], [1], [2]):
        assert find(client, keys.api_key) == keys.instance
        assert executions(client) == expected
    with transaction_of(other):
        # It holds the connection that has the statement, and the client is given a new one.
        assert executions(other) == [2]
        assert executions(client) == []
        for _ in range(3):
            assert find(client, keys.api_key) == keys.instance
        assert executions(client) == []
    with transaction_of(client):
        for _ in range(3):
            assert find(client, keys.api_key) == keys.instance


@pytest.mark.server
def test_clients_of_a_pooler_meet_each_others_statements(
    pooled: Callable[[], Any], keys: GeneratedKeys
) -> None:
    clients = [pooled() for _ in range(4)]
    for _ in range(5):
        for client in clients:
            assert find(client, keys.api_key) == keys.instance
