"""Behind a real pooler that hands out PostgreSQL's connections in turn."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.db import connection

from ..groups import leave_out
from ..sources.models import Robot
from .clients import execute, executions, find, transaction_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.server]

SECONDS = 30


class Pooler(NamedTuple):
    """A PgBouncer.

    Attributes:
        connect: makes a connection to it, which prepares at once.
        keeps: whether it keeps track of prepared statements.
    """

    connect: Callable[[], Any]
    keeps: bool


@pytest.fixture(params=[False, True], ids=["loses statements", "keeps statements"])
def pooler(postgresql, request):
    """It pools transactions over two connections of the server."""
    keeps, is_able = request.param, _version() >= (1, 21)
    if keeps and not is_able:
        leave_out("PgBouncer 1.21", "and later keep prepared statements", in_ci_too=True)
    with _pgbouncer(f"max_prepared_statements = {100 * keeps}" if is_able else "") as connect:
        yield Pooler(connect, keeps)


def _version():
    if shutil.which("pgbouncer") is None:
        leave_out("PgBouncer", "is not installed (Debian: apt-get install pgbouncer)")
    says = subprocess.run(["pgbouncer", "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"(\d+)\.(\d+)", says.stdout)
    assert found is not None
    return tuple(map(int, found.groups()))


@contextmanager
def _pgbouncer(setting):
    clients = []

    def connect():
        clients.append(connection.copy())
        clients[-1].settings_dict.update(HOST="127.0.0.1", PORT=port)
        clients[-1].settings_dict["OPTIONS"]["prepare_threshold"] = 0
        return clients[-1]

    with tempfile.TemporaryDirectory() as folder:
        port = _free_port()
        configuration = Path(folder, "pgbouncer.ini")
        configuration.write_text(_configuration(port, setting))
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


def _configuration(port, setting):
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
{setting}
"""


def _free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _wait_for(port, process):
    end = time.monotonic() + SECONDS
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None or time.monotonic() > end:
            pytest.fail("PgBouncer does not start.")
        time.sleep(0.02)


@contextmanager
def others_connection(client, other):
    """``client`` is given a connection of the server that it has not had since it connected."""
    ask = "SELECT pg_backend_pid()"
    before = execute(client, ask)
    with transaction_of(other):
        assert execute(other, ask) == before
        assert execute(client, ask) != before
        yield


def test_pooler_that_swaps_connections_goes_unnoticed(pooler, keys, caplog):
    client, other = pooler.connect(), pooler.connect()
    for number in (1, 2):
        assert find(client, keys.api_key) == keys.instance
        assert list(executions(client).values()) == [number]
    assert not caplog.messages

    with others_connection(client, other):
        for _ in range(3):
            assert find(client, keys.api_key) == keys.instance
        assert list(executions(client).values()) == ([3] if pooler.keeps else [])
    for _ in range(3):
        assert find(client, keys.api_key) == keys.instance

    warned = ["prepare_threshold" in message for message in caplog.messages]
    assert warned == ([] if pooler.keeps else [True])


def test_clients_of_a_pooler_meet_each_others_statements(pooler, keys):
    clients = [pooler.connect() for _ in range(4)]
    for _ in range(5):
        for client in clients:
            assert find(client, keys.api_key) == keys.instance


def test_key_of_another_source_is_never_found(pooler, keys):
    robot = Robot.objects.create(user=keys.instance.user)
    ours, theirs, other = (pooler.connect() for _ in range(3))
    assert find(ours, robot.api_key, Robot) == robot
    with others_connection(ours, other):
        assert find(theirs, keys.api_key) == keys.instance

        # psycopg has called both statements the same, and this connection has theirs.
        assert find(ours, keys.api_key, Robot) is None
        assert find(ours, robot.api_key, Robot) == robot
