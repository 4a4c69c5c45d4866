"""Starts servers, and loads them with wrk."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from .measure import Figure, WrongAnswer
from .report import Table

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2
START_SECONDS = 60
STOP_SECONDS = 10
WARM_UP_SECONDS = 1

Command = Callable[[int], list[str]]


@dataclass(frozen=True, slots=True)
class Line:
    """A URL on the server at ``port``, and the ``username`` that its view then returns."""

    title: str
    port: int
    path: str
    header: str = field(default="", repr=False)
    username: str = ""


def left_out(titles: Sequence[str], *servers: str) -> list[Table]:
    """Return tables that say what isn't installed, which is an error in CI; none if nothing is."""
    found = {name: importlib.util.find_spec(name) for name in servers}
    missing = [name for name, where in {"wrk": shutil.which("wrk"), **found}.items() if not where]
    if missing and os.environ.get("CI") == "true":
        raise WrongAnswer(f"Not installed: {', '.join(missing)}.")
    note = f"Left out: {' and '.join(missing)} not installed here."
    return [Table(title, notes=[note]) for title in titles if missing]


def gunicorn(application: str) -> Command:
    """The command for a WSGI application."""

    def command(number: int) -> list[str]:
        command = [sys.executable, "-m", "gunicorn", application]
        command += [f"--bind=fd://{number}", f"--workers={WORKERS}"]
        return [*command, "--worker-class=sync", "--log-level=warning", "--no-control-socket"]

    return command


@contextmanager
def served(
    environment: Mapping[str, str], command: Command | None = None, host: str = "127.0.0.1"
) -> Iterator[int]:
    """Serve an application, by default the benchmarks' WSGI one. Yield its port on ``host``.

    Args:
        environment: variables besides this process's own.
        command: returns the server's command for the file descriptor of the listening socket.
    """
    command = command or gunicorn("benchmarks.wsgi:application")
    # The socket is opened here, so that the port is free, and early requests wait for the workers.
    with socket.create_server((host, 0)) as listener, tempfile.TemporaryFile("w+") as log:
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
            # Only the server's copy stays open, so that without a server, nothing connects.
            listener.close()
            yield port
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read()[-4000:])
            raise
        finally:
            _stop(process)


def speeds(
    groups: Sequence[Sequence[Line]], seconds: int, rounds: int, connections: int
) -> dict[str, list[float]]:
    """Return the requests per second of each line in each round, by title.

    Lines of a group are compared, so they run one after another.

    Raises:
        WrongAnswer: a request failed, or ran as another user.
    """
    measured: dict[str, list[float]] = {line.title: [] for group in groups for line in group}
    for group in groups:
        for line in group:
            _check(line)
            _load(line, WARM_UP_SECONDS, connections)
    for _ in range(rounds):
        for group in random.sample(groups, len(groups)):
            for line in random.sample(group, len(group)):
                measured[line.title].append(_load(line, seconds, connections))
    return measured


def ratio(ours: list[float], theirs: list[float]) -> Figure:
    """Per round: something that slowed one line also slowed its neighbors."""
    return Figure.of([mine / other for mine, other in zip(ours, theirs, strict=True)])


def _check(line: Line) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", line.port, timeout=START_SECONDS)
    try:
        headers = {"Authorization": line.header} if line.header else {}
        connection.request("GET", line.path, headers=headers)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise WrongAnswer(f"The server doesn't answer at {line.path}: {error}") from error
    finally:
        connection.close()
    if response.status != 200:
        raise WrongAnswer(f"{line.path} answered {response.status}: {body[:500]!r}")
    if (username := json.loads(body)["user"]) != line.username:
        raise WrongAnswer(f"{line.path} took {line.username} for {username!r}.")


def _load(line: Line, seconds: int, connections: int) -> float:
    """Return the requests per second over this many connections of wrk."""
    command = ["wrk", "--threads", "2", "--connections", str(connections)]
    if line.header:
        command += ["--header", f"Authorization: {line.header}"]
    # A busy machine may not answer within a short load.
    for duration in (seconds, 10 * seconds):
        finished = subprocess.run(
            [*command, "--duration", f"{duration}s", f"http://127.0.0.1:{line.port}{line.path}"],
            capture_output=True,
            text=True,
            check=True,
            timeout=duration + START_SECONDS,
        )
        if failures := re.findall(r"Non-2xx.*|Socket errors.*", finished.stdout):
            raise WrongAnswer(f"wrk on {line.path}: {' '.join(failures)}")
        speed = re.search(r"Requests/sec:\s+([0-9.]+)", finished.stdout)
        if speed and float(speed[1]):
            return float(speed[1])
    raise WrongAnswer(f"wrk on {line.path}: {finished.stdout}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
            return
