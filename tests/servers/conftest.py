import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from ..groups import leave_out

PROJECT = Path(__file__).parent.parent.parent
SITE_PACKAGES = Path(pytest.__file__).parent.parent
# A server that root starts works as this user.
SYSTEM_USER = "www-data"


def needed(command, package):
    """The path of a server's executable, which may not be in the PATH of an ordinary user."""
    found = shutil.which(command, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        leave_out(command, f"is not installed (Debian: apt-get install {package})")
    return found


def free_port():
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def running(command, port):
    """Run a server until the block ends. It has begun to listen on ``port``."""
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert server.poll() is None, server.communicate()[0]
            time.sleep(0.02)
        yield
    finally:
        server.terminate()
        server.communicate(timeout=30)


@pytest.fixture(scope="session")
def folder():
    """A folder that other users of the machine can read, unlike pytest's."""
    path = Path(tempfile.mkdtemp(prefix="servers-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def site(folder):
    """A site of its own with one key: its database, its environment, and the token."""
    database = folder / "db"
    database.mkdir()
    environment = {
        "DATABASE_URL": f"sqlite:///{database / 'site.sqlite3'}",
        "DJANGO_SETTINGS_MODULE": "testproject.settings",
        "DJANGO_SECRET_KEY": "made up for the tests of servers",
    }

    def manage(*arguments, **options):
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=PROJECT,
            env={**os.environ, "REDIS_URL": "", **environment},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    manage("migrate", "--verbosity", "0")
    made = json.loads(manage("generate_keys", "robot", "--create-user", "--format", "json"))
    # The server's own user writes there.
    database.chmod(0o777)
    (database / "site.sqlite3").chmod(0o666)
    return environment, f"{made['api_key']}:{made['api_secret']}"
