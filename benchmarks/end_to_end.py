"""Requests per second of a server under load."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from . import contenders, goals, server
from .contenders import Contender
from .goals import Goal
from .measure import Figure, WrongAnswer
from .report import Table, quartiles

WARM_UP_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Line:
    """A contender's URL on one of the two servers."""

    title: str
    path: str
    contender: Contender
    cached: bool = False


def measure(database: str, seconds: int, rounds: int) -> list[Table]:
    """The table of the servers.

    Args:
        database: its name; the goals are set for PostgreSQL.
        seconds: how long to load each line in each round.
        rounds: how many times.
    """
    title = f"End to end: gunicorn, {server.WORKERS} sync workers, and wrk over 4 connections"
    if missing := server.missing():
        if os.environ.get("CI") == "true":
            raise WrongAnswer(f"Not installed: {', '.join(missing)}.")
        return [Table(title, notes=[f"Left out: {' and '.join(missing)} not installed here."])]
    lines = _lines()
    with ExitStack() as servers:
        ports = {
            cached: servers.enter_context(server.served({"BENCHMARKS_CACHE": alias}))
            for cached, alias in ((False, ""), (True, "local"))
        }

        def load(line: Line, seconds: int) -> float:
            header = line.contender.headers.get("HTTP_AUTHORIZATION", "")
            return server.load(ports[line.cached], line.path, header, seconds)

        for line in lines:
            header = line.contender.headers.get("HTTP_AUTHORIZATION", "")
            username = server.ask(ports[line.cached], line.path, header)
            if username != line.contender.username:
                raise WrongAnswer(f"{line.path} took {line.contender.username} for {username!r}.")
            load(line, WARM_UP_SECONDS)
        speeds = _rounds(lines, rounds, lambda line: load(line, seconds))
    return [_table(title, speeds, database)]


OPEN, OURS, DRF_TOKEN, KNOX = "open view", "frappe_tokens", "DRF TokenAuthentication", "knox"
OPEN_BESIDE, CACHED = "open view, the second server", "frappe_tokens, local memory"


def _lines() -> list[Line]:
    user = contenders.make_user("ada")
    opened, ours = contenders.opened(), contenders.frappe_tokens(user)
    return [
        Line(OPEN, "/open/", opened),
        Line(OURS, "/frappe_tokens/", ours),
        Line(DRF_TOKEN, "/drf_token/", contenders.drf_token(user)),
        Line(KNOX, "/knox/", contenders.knox(user)),
        Line(OPEN_BESIDE, "/open/", opened, cached=True),
        Line(CACHED, "/frappe_tokens/", ours, cached=True),
    ]


def _rounds(
    lines: list[Line], rounds: int, load: Callable[[Line], float]
) -> dict[str, list[float]]:
    speeds: dict[str, list[float]] = {line.title: [] for line in lines}
    for _ in range(rounds):
        # Lines that are compared run one after the other, on the same server.
        for cached in random.sample((False, True), 2):
            compared = [line for line in lines if line.cached is cached]
            for line in random.sample(compared, len(compared)):
                speeds[line.title].append(load(line))
    return speeds


def _table(title: str, speeds: dict[str, list[float]], database: str) -> Table:
    table = Table(title, ("", "a second", "ratio", "quartiles", *goals.COLUMNS))
    for name, measured in speeds.items():
        figure = Figure.of(measured)
        spread = quartiles(figure)
        table.rows.append((name, f"{figure.middle:.0f}", "-", spread, *goals.NO_GOAL))
    compared: list[tuple[str, str, str, Goal]] = [
        ("ours / DRF TokenAuthentication", OURS, DRF_TOKEN, goals.SERVED_TO_DRF_TOKEN),
        ("ours / knox", OURS, KNOX, goals.SERVED_TO_KNOX),
        ("ours from local memory / open view", CACHED, OPEN_BESIDE, goals.SERVED_CACHED_TO_OPEN),
    ]
    for name, ours, theirs, goal in compared:
        # Per round: something that slowed one line also slowed its neighbours.
        pairs = zip(speeds[ours], speeds[theirs], strict=True)
        ratio = Figure.of([mine / other for mine, other in pairs])
        bound = goals.cells(goal if database == "PostgreSQL" else None, ratio.middle)
        table.rows.append((name, "-", f"{ratio.middle:.3f}", quartiles(ratio, 2), *bound))
    return table
