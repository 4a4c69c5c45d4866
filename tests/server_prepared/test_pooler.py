"""Behind a real pooler that hands out PostgreSQL's connections in turn."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from frappe_tokens.keys import GeneratedKeys

from ..groups import leave_out
from .clients import executions, find, transaction_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.server]

SECONDS = 30


@pytest.fixture
def pooled(new_process: None) -> Iterator[Callable[[], Any]]:
    """Connects to PgBouncer, which pools transactions over two connections of the server."""
    if connection.vendor != "postgresql":
        leave_out("PostgreSQL", "is what PgBouncer pools", in_ci_too=True)
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


def test_clients_of_a_pooler_meet_each_others_statements(
    pooled: Callable[[], Any], keys: GeneratedKeys
) -> None:
    clients = [pooled() for _ in range(4)]
    for _ in range(5):
        for client in clients:
            assert find(client, keys.api_key) == keys.instance
