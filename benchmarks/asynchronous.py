"""Requests per second of plain views and of an async server, under load."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass

from . import contenders, server
from .measure import Figure
from .report import Table, quartiles
from .server import Line

CONNECTIONS = 64  # of wrk to the async server

OPEN, PLAIN = "open plain view", "frappe_tokens, plain view"
REST, DRF_TOKEN = "frappe_tokens, DRF view", "DRF TokenAuthentication, DRF view"


@dataclass(frozen=True, slots=True)
class Kind:
    """A server and its load. ``view`` is the URL of its kind of plain view."""

    title: str
    command: server.Command
    connections: int
    view: str
    environment: tuple[tuple[str, str], ...] = ()


def _uvicorn(number: int) -> list[str]:
    command = [sys.executable, "-m", "uvicorn", "benchmarks.asynchronous_served:asgi"]
    return [*command, f"--fd={number}", "--lifespan=off", "--log-level=error", "--no-access-log"]


KINDS = [
    Kind(
        f"Plain views: gunicorn, {server.WORKERS} sync workers, and wrk over 4 connections",
        server.gunicorn("benchmarks.asynchronous_served:wsgi"),
        4,
        "plain",
    ),
    Kind(
        f"Async: uvicorn, one process, and wrk over {CONNECTIONS} connections",
        _uvicorn,
        CONNECTIONS,
        "async",
        (("BENCHMARKS_ASYNC", "1"),),
    ),
]


def measure(seconds: int, rounds: int) -> list[Table]:
    """Return a table for each kind of server.

    Args:
        seconds: how long to load each line in each round.
        rounds: how many times.
    """
    left_out = server.left_out([kind.title for kind in KINDS], "gunicorn", "uvicorn")
    return left_out or [_measure(kind, seconds, rounds) for kind in KINDS]


def _measure(kind: Kind, seconds: int, rounds: int) -> Table:
    user = contenders.make_user("ada")
    ours = contenders.frappe_tokens(user).headers["HTTP_AUTHORIZATION"]
    theirs = contenders.drf_token(user).headers["HTTP_AUTHORIZATION"]
    with ExitStack() as servers:
        environment = {"BENCHMARKS_CACHE": "", **dict(kind.environment)}
        with_middleware, without = (
            servers.enter_context(
                server.served({**environment, "BENCHMARKS_PLAIN": plain}, kind.command)
            )
            for plain in ("1", "")
        )
        lines = [
            Line(OPEN, without, f"/open/{kind.view}/"),
            Line(PLAIN, with_middleware, f"/{kind.view}/", ours, "ada"),
            Line(REST, without, "/frappe_tokens/", ours, "ada"),
            Line(DRF_TOKEN, without, "/drf_token/", theirs, "ada"),
        ]
        speeds = server.speeds([lines], seconds, rounds, kind.connections)
    return _table(kind, speeds)


def _table(kind: Kind, speeds: dict[str, list[float]]) -> Table:
    table = Table(kind.title, ("", "a second", "ratio", "quartiles"))
    for title, measured in speeds.items():
        figure = Figure.of(measured)
        table.rows.append((title, f"{figure.middle:.0f}", "-", quartiles(figure)))
    for title in (PLAIN, REST):
        ratio = server.ratio(speeds[title], speeds[DRF_TOKEN])
        name = f"{title} / DRF TokenAuthentication"
        table.rows.append((name, "-", f"{ratio.middle:.3f}", quartiles(ratio, 2)))
    return table
