"""Requests per second of plain views and of an async server, under load."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass

from . import contenders, goals, server
from .measure import Figure
from .report import Table, quartiles
from .server import Line

CONNECTIONS = 64  # of wrk to the async server

OPEN, PLAIN = "open plain view", "frappe_tokens, plain view"
LOCAL = "frappe_tokens, plain view, local memory"
REST, DRF_TOKEN = "frappe_tokens, DRF view", "DRF TokenAuthentication, DRF view"


@dataclass(frozen=True, slots=True)
class Kind:
    """A server and its load. ``view`` is the URL of its kind of plain view."""

    title: str
    command: server.Command
    connections: int
    view: str
    environment: tuple[tuple[str, str], ...] = ()
    to_drf_token: goals.Goal | None = None
    local_to_open: goals.Goal | None = None


def _uvicorn(number: int) -> list[str]:
    command = [sys.executable, "-m", "uvicorn", "benchmarks.asynchronous_served:asgi"]
    command += [f"--fd={number}", "--loop=uvloop", "--http=httptools", "--lifespan=off"]
    return [*command, "--log-level=error", "--no-access-log"]


KINDS = [
    Kind(
        f"Plain views: gunicorn, {server.WORKERS} sync workers, and wrk over 4 connections",
        server.gunicorn("benchmarks.asynchronous_served:wsgi"),
        4,
        "plain",
    ),
    Kind(
        f"Async: uvicorn (uvloop, httptools), one process, and wrk over {CONNECTIONS} connections",
        _uvicorn,
        CONNECTIONS,
        "async",
        (("BENCHMARKS_ASYNC", "1"),),
        goals.ASYNC_TO_DRF_TOKEN,
        goals.ASYNC_CACHED_TO_OPEN,
    ),
]


def measure(database: str, seconds: int, rounds: int) -> list[Table]:
    """Return a table for each kind of server.

    Args:
        database: its name; the goals are set for PostgreSQL.
        seconds: how long to load each line in each round.
        rounds: how many times.
    """
    servers = ("gunicorn", "uvicorn", "uvloop", "httptools")
    left_out = server.left_out([kind.title for kind in KINDS], *servers)
    return left_out or [_measure(kind, database, seconds, rounds) for kind in KINDS]


def _measure(kind: Kind, database: str, seconds: int, rounds: int) -> Table:
    user = contenders.make_user("ada")
    ours = contenders.frappe_tokens(user).headers["HTTP_AUTHORIZATION"]
    theirs = contenders.drf_token(user).headers["HTTP_AUTHORIZATION"]
    with ExitStack() as servers:
        environments = [
            {"BENCHMARKS_PLAIN": plain, "BENCHMARKS_CACHE": cache, **dict(kind.environment)}
            for plain, cache in (("1", ""), ("1", "local"), ("", ""))
        ]
        with_middleware, cached, without = (
            servers.enter_context(server.served(environment, kind.command))
            for environment in environments
        )
        lines = [
            Line(OPEN, without, f"/open/{kind.view}/"),
            Line(PLAIN, with_middleware, f"/{kind.view}/", ours, "ada"),
            Line(LOCAL, cached, f"/{kind.view}/", ours, "ada"),
            Line(REST, without, "/frappe_tokens/", ours, "ada"),
            Line(DRF_TOKEN, without, "/drf_token/", theirs, "ada"),
        ]
        speeds = server.speeds([lines], seconds, rounds, kind.connections)
    return _table(kind, speeds, database)


def _table(kind: Kind, speeds: dict[str, list[float]], database: str) -> Table:
    table = Table(kind.title, ("", "a second", "ratio", "quartiles", *goals.COLUMNS))
    for title, measured in speeds.items():
        figure = Figure.of(measured)
        spread = quartiles(figure)
        table.rows.append((title, f"{figure.middle:.0f}", "-", spread, *goals.NO_GOAL))
    for name, ours, theirs, goal in (
        (f"{PLAIN} / DRF TokenAuthentication", PLAIN, DRF_TOKEN, kind.to_drf_token),
        (f"{REST} / DRF TokenAuthentication", REST, DRF_TOKEN, None),
        (f"{LOCAL} / {OPEN}", LOCAL, OPEN, kind.local_to_open),
    ):
        ratio = server.ratio(speeds[ours], speeds[theirs])
        bound = goals.cells(goal if database == "PostgreSQL" else None, ratio.middle)
        table.rows.append((name, "-", f"{ratio.middle:.3f}", quartiles(ratio, 2), *bound))
    return table
