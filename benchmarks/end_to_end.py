"""Requests per second of a server under load."""

from __future__ import annotations

from contextlib import ExitStack

from . import contenders, goals, server
from .contenders import Contender
from .measure import Figure
from .report import Table, quartiles
from .server import Line

TITLE = f"End to end: gunicorn, {server.WORKERS} sync workers, and wrk over 4 connections"

OPEN, OURS, DRF_TOKEN, KNOX = "open view", "frappe_tokens", "DRF TokenAuthentication", "knox"
OPEN_BESIDE, CACHED = "open view, the second server", "frappe_tokens, local memory"


def measure(database: str, seconds: int, rounds: int) -> list[Table]:
    """Return the table of the servers.

    Args:
        database: its name; the goals are set for PostgreSQL.
        seconds: how long to load each line in each round.
        rounds: how many times.
    """
    if tables := server.left_out([TITLE], "gunicorn"):
        return tables
    user = contenders.make_user("ada")
    opened, ours = contenders.opened(), contenders.frappe_tokens(user)
    with ExitStack() as servers:
        port, cached = (
            servers.enter_context(server.served({"BENCHMARKS_CACHE": alias}))
            for alias in ("", "local")
        )
        groups = [
            [
                _line(OPEN, port, "/open/", opened),
                _line(OURS, port, "/frappe_tokens/", ours),
                _line(DRF_TOKEN, port, "/drf_token/", contenders.drf_token(user)),
                _line(KNOX, port, "/knox/", contenders.knox(user)),
            ],
            [
                _line(OPEN_BESIDE, cached, "/open/", opened),
                _line(CACHED, cached, "/frappe_tokens/", ours),
            ],
        ]
        speeds = server.speeds(groups, seconds, rounds, 4)
    return [_table(speeds, database)]


def _line(title: str, port: int, path: str, contender: Contender) -> Line:
    header = contender.headers.get("HTTP_AUTHORIZATION", "")
    return Line(title, port, path, header, contender.username)


def _table(speeds: dict[str, list[float]], database: str) -> Table:
    table = Table(TITLE, ("", "a second", "ratio", "quartiles", *goals.COLUMNS))
    for name, measured in speeds.items():
        figure = Figure.of(measured)
        spread = quartiles(figure)
        table.rows.append((name, f"{figure.middle:.0f}", "-", spread, *goals.NO_GOAL))
    for name, ours, theirs, goal in (
        ("ours / DRF TokenAuthentication", OURS, DRF_TOKEN, goals.SERVED_TO_DRF_TOKEN),
        ("ours / knox", OURS, KNOX, goals.SERVED_TO_KNOX),
        ("ours from local memory / open view", CACHED, OPEN_BESIDE, goals.SERVED_CACHED_TO_OPEN),
    ):
        ratio = server.ratio(speeds[ours], speeds[theirs])
        bound = goals.cells(goal if database == "PostgreSQL" else None, ratio.middle)
        table.rows.append((name, "-", f"{ratio.middle:.3f}", quartiles(ratio, 2), *bound))
    return table
