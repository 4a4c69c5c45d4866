"""Starts gunicorn, and loads it by wrk."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from .measure import WrongAnswer

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2
START_SECONDS = 60
STOP_SECONDS = 10

Command = Callable[[int], list[str]]


def missing() -> list[str]:
    """Return the needed programs that aren't installed."""
    found = {"wrk": shutil.which("wrk"), "gunicorn": importlib.util.find_spec("gunicorn")}
    return [name for name, where in found.items() if where is None]


def gunicorn(application: str) -> Command:
    """The command for a WSGI application."""

    def command(number: int) -> list[str]:
        command = [sys.executable, "-m", "gunicorn", application]
        command += [f"--bind=fd://{number}", f"--workers={WORKERS}"]
        return [*command, "--worker-class=sync", "--log-level=warning", "--no-control-socket"]

    return command


@contextmanager
def served(environment: Mapping[str, str], command: Command | None = None) -> Iterator[int]:
    """Serve an application, by default the benchmarks' WSGI one. Return its port on 127.0.0.1.

    Args:
        environment: variables besides this process's own.
        command: returns the server's command for the number of the listening socket's file.
    """
    command = command or gunicorn("benchmarks.wsgi:application")
    # The socket is opened here and passed on, so that the port is free, and early requests wait
    # for the workers.
    with socket.create_server(("127.0.0.1", 0)) as listener, tempfile.TemporaryFile("w+") as log:
        port: int = listener.getsockname()[1]
        process = subprocess.Popen(
            command(listener.fileno()),
            cwd=ROOT,
            env={**os.environ, **environment},
            pass_fds=[listener.fileno()],
            stdout=log,
            stderr=log,
            # A process group, so that its workers end with it.
            start_new_session=True,
        )
        try:
            # Only the server's copy stays open, so that without a server there is no connection.
            listener.close()
            yield port
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read()[-4000:])
            raise
        finally:
            _stop(process)


def ask(port: int, path: str, header: str) -> str:
    """Return the user that the server names.

    Raises:
        WrongAnswer: the status isn't 200.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
    try:
        connection.request("GET", path, headers={"Authorization": header} if header else {})
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise WrongAnswer(f"The server does not answer at {path}: {error}") from error
    finally:
        connection.close()
    if response.status != 200:
        raise WrongAnswer(f"{path} answered {response.status}: {body[:500]!r}")
    username: str = json.loads(body)["user"]
    return username


def load(port: int, path: str, header: str, seconds: int, connections: int = 4) -> float:
    """Return the requests per second over this many connections of wrk.

    Raises:
        WrongAnswer: one of them failed.
    """
    command = ["wrk", "--threads", "2", "--connections", str(connections)]
    if header:
        command += ["--header", f"Authorization: {header}"]
    # A busy machine may not answer within a short load.
    for duration in (seconds, 10 * seconds):
        finished = subprocess.run(
            [*command, "--duration", f"{duration}s", f"http://127.0.0.1:{port}{path}"],
            capture_output=True,
            text=True,
            check=True,
            timeout=duration + START_SECONDS,
        )
        if failures := re.findall(r"Non-2xx.*|Socket errors.*", finished.stdout):
            raise WrongAnswer(f"wrk on {path}: {' '.join(failures)}")
        speed = re.search(r"Requests/sec:\s+([0-9.]+)", finished.stdout)
        if speed and float(speed[1]):
            return float(speed[1])
    raise WrongAnswer(f"wrk on {path}: {finished.stdout}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
            return
