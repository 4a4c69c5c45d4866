"""Prepared statements behind a real PgBouncer, which hands out PostgreSQL's connections in turn."""

import os
import re
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager, suppress

import pytest
from django.db import connection

from .groups import leave_out
from .sources.models import Robot
from .test_driver_prepared import execute, find, postgresql  # noqa: F401 - also a fixture

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.server]

SECONDS = 30
CONFIGURATION = """[databases]
* = {server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
{setting}
"""


@pytest.fixture(params=[False, True], ids=["loses statements", "keeps statements"])
def connect(request, tmp_path):
    """Connects through it, over two connections of the server, and prepares at once."""
    if shutil.which("pgbouncer") is None:
        leave_out("PgBouncer", "is not installed (Debian: apt-get install pgbouncer)")
    says = subprocess.run(["pgbouncer", "--version"], capture_output=True, text=True, check=True)
    is_able = tuple(map(int, re.search(r"(\d+)\.(\d+)", says.stdout).groups())) >= (1, 21)
    if request.param and not is_able:
        leave_out("PgBouncer 1.21", "and later keep prepared statements", in_ci_too=True)
    setting = f"max_prepared_statements = {100 * request.param}" if is_able else ""
    clients = []

    def connect():
        clients.append(connection.copy())
        clients[-1].settings_dict.update(HOST="127.0.0.1", PORT=port)
        clients[-1].settings_dict["OPTIONS"]["prepare_threshold"] = 0
        return clients[-1]

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    present = connection.settings_dict
    named = {name.lower(): present[name] for name in ("HOST", "PORT", "USER", "PASSWORD")}
    server = " ".join(f"{name}={value}" for name, value in named.items() if value)
    configuration = tmp_path / "pgbouncer.ini"
    configuration.write_text(CONFIGURATION.format(server=server, port=port, setting=setting))
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    # It refuses to run as root.
    user = ["--user", "nobody"] if os.geteuid() == 0 else []
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(["pgbouncer", *user, str(configuration)], **silent)
    try:
        _wait_for(port, process)
        yield connect
    finally:
        for client in clients:
            client.close()
        process.terminate()
        process.wait(SECONDS)


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
    other.set_autocommit(False)
    try:
        assert execute(other, ask) == before
        assert execute(client, ask) != before
        yield
    finally:
        other.rollback()
        other.set_autocommit(True)


def test_pooler_that_swaps_connections_goes_unnoticed(connect, keys, caplog, request):
    client, other = connect(), connect()
    for _ in range(2):
        assert find(client, keys.api_key) == keys.instance
    assert not caplog.messages

    with others_connection(client, other):
        for _ in range(3):
            assert find(client, keys.api_key) == keys.instance
    assert find(client, keys.api_key) == keys.instance

    warned = ["prepare_threshold" in message for message in caplog.messages]
    assert warned == ([] if "keeps" in request.node.callspec.id else [True])


def test_key_of_another_source_is_never_found(connect, keys):
    robot = Robot.objects.create(user=keys.instance.user)
    ours, theirs, other = (connect() for _ in range(3))
    assert find(ours, robot.api_key, Robot) == robot
    with others_connection(ours, other):
        assert find(theirs, keys.api_key) == keys.instance

        # psycopg has called both statements the same, and this connection has theirs.
        assert find(ours, keys.api_key, Robot) is None
        assert find(ours, robot.api_key, Robot) == robot
