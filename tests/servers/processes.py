"""Starts servers in processes of their own, for a site with a database of its own."""

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

PROJECT = Path(__file__).parent.parent.parent
WHO = "/api/method/frappe.auth.get_logged_user"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def running(command, port, **options):
    """Run a server until the block ends. It has begun to listen on ``port``."""
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    try:
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert server.poll() is None, server.communicate()[0]
            time.sleep(0.02)
        yield
    finally:
        server.terminate()
        server.communicate(timeout=30)


def in_environment(environment):
    """The environment of a process of the site, without the caches of the tests."""
    return {**os.environ, "REDIS_URL": "", **environment}


def manage(environment, *arguments):
    """What ``manage.py`` prints on standard output for the site."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env=in_environment(environment),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
