"""Processes of their own: real servers under real load, and programs."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

from django.db import connection

from ..conftest import token_header
from . import server_settings
from .conftest import wait_until

PROJECT = Path(__file__).parent.parent.parent
ASGI = "tests.request_log.asgi:application"
WSGI = "testproject.wsgi:application"
GUNICORN = ("-m", "gunicorn", "--bind", "fd://{fd}", "--no-control-socket")


def environment(log):
    """Of a process that writes its requests to ``log``, in the tests' database."""
    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite":
        url = f"sqlite:///{name}"
    else:
        url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
    return {
        **{name: value for name, value in os.environ.items() if name not in _OF_TESTS},
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": server_settings.__name__,
        "PYTHONPATH": str(PROJECT),
        "REQUEST_LOG": log,
    }


# What the browser's tests set, which opens to async code what is closed to it.
_OF_TESTS = {"DJANGO_ALLOW_ASYNC_UNSAFE"}


def run(*command, log="buffered", seconds=60):
    """What ``python command`` prints, errors as well; it has to end well, and in time."""
    finished = subprocess.run(
        [sys.executable, *command],
        cwd=PROJECT,
        env=environment(log),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    return finished.stdout


class Server:
    """A server that listens already, and what it says."""

    def __init__(self, process, port):
        self.process = process
        self.address = f"127.0.0.1:{port}"
        self.said = []
        assert process.stdout is not None
        self._stdout = process.stdout
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self):
        self.said += self._stdout

    def stop(self):
        """Gracefully: what it has begun, it ends."""
        self.process.send_signal(signal.SIGTERM)
        self.end()

    def end(self):
        try:
            self.process.wait(60)
        finally:
            self.process.kill()
            self._listener.join()
            self._stdout.close()


@contextmanager
def serving(log, *arguments):
    """A server that ``arguments`` of Python's start; ``{fd}`` there is the socket's number."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        fd = listening.fileno()
        process = subprocess.Popen(
            [sys.executable, *(argument.format(fd=fd) for argument in arguments)],
            cwd=PROJECT,
            env=environment(log),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=[fd],
        )
        server = Server(process, listening.getsockname()[1])
    try:
        yield server
    finally:
        process.terminate()
        server.end()


@contextmanager
def load_on(server, keys, clients=4):
    """Clients that ask ``server`` without a pause."""
    load = Load(server.address, token_header(keys))
    threads = [threading.Thread(target=load.ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.ends = True
        for thread in threads:
            thread.join()


class Load:
    """Asks for one number after the other, and notes which were answered, and when."""

    def __init__(self, address, header):
        self.answered = {}
        self.ends = False
        self._address, self._header = address, header
        self._numbers = count()

    def wait_for(self, number):
        """Until so many are answered."""
        wanted = len(self.answered) + number
        wait_until(lambda: len(self.answered) >= wanted, seconds=120)

    def ask(self):
        while not self.ends:
            # A worker that is killed ends its connections. Others go on.
            with suppress(OSError, http.client.HTTPException):
                self._ask_on_one_connection()

    def _ask_on_one_connection(self):
        with closing(http.client.HTTPConnection(self._address, timeout=60)) as server:
            while not self.ends:
                path = f"/api/resource/ToDo/{next(self._numbers)}"
                server.request("GET", path, headers={"Authorization": self._header})
                answer = server.getresponse()
                answer.read()
                assert answer.status == 403
                self.answered[path] = time.monotonic()
