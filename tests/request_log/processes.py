"""Servers under load, and programs, in processes of their own."""

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
    """The environment of a process that writes its requests to ``log``, in the tests' database."""
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


# The browser's tests set it.
_OF_TESTS = {"DJANGO_ALLOW_ASYNC_UNSAFE"}


def run(*command, log="buffered", seconds=60):
    """What ``python command`` prints, errors as well. It must succeed, and end in time."""
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
    """A server that already listens, and what it prints."""

    def __init__(self, process, port, number):
        self.process = process
        self.number = number
        self.address = f"127.0.0.1:{port}"
        self.said = []
        assert process.stdout is not None
        self._stdout = process.stdout
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self):
        self.said += self._stdout

    def stop(self):
        """Stop it gracefully: it completes what it has begun."""
        self.process.send_signal(signal.SIGTERM)

    def end(self):
        try:
            self.process.wait(60)
        finally:
            self.process.kill()
            self._listener.join()
            self._stdout.close()


@contextmanager
def serving(log, number, *arguments):
    """Start a server by ``python arguments``; ``{fd}`` there is the socket's number.

    ``number`` is in the paths of all requests to it.
    """
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
        server = Server(process, listening.getsockname()[1], number)
    try:
        yield server
    finally:
        process.terminate()
        server.end()


@contextmanager
def load_on(server, keys, clients=4):
    """Send requests to ``server`` without a pause."""
    load = Load(server, token_header(keys))
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
    """Requests of one path after the other, with the time of each answer."""

    def __init__(self, server, header):
        self.answered = {}
        self.ends = False
        self._server, self._header = server, header
        self._numbers = count()

    def wait_for(self, number):
        """Wait until so many more are answered."""
        wanted = len(self.answered) + number
        wait_until(lambda: len(self.answered) >= wanted, seconds=120)

    def ask(self):
        while not self.ends:
            # A killed worker's connections end.
            with suppress(OSError, http.client.HTTPException):
                self._ask_on_one_connection()
            time.sleep(0.05)

    def _ask_on_one_connection(self):
        with closing(http.client.HTTPConnection(self._server.address, timeout=60)) as server:
            while not self.ends:
                path = f"/api/resource/ToDo/{self._server.number}.{next(self._numbers)}"
                server.request("GET", path, headers={"Authorization": self._header})
                answer = server.getresponse()
                answer.read()
                assert answer.status == 403
                self.answered[path] = time.monotonic()
