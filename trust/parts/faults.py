"""Databases, caches, clocks and workers that fail, while 200 requests a second arrive."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Iterable

from ..faults.faults import ON_POSTGRESQL, ON_SQLITE, WITH_A_CLOCK, Fault
from ..faults.ground import (
    Ground,
    can_mount,
    on_postgresql,
    on_sqlite,
    with_sites,
)
from ..faults.load import GOOD, RATE, Answer
from ..faults.servers import missing
from ..faults.trial import FULL_SERVICE, Trial, attempt, first_requests
from ..report import Report, Row

SEED = 20_26
BAD = {"wrong", "revoked", "unknown"}


def run(*, quick: bool) -> Report:
    report = Report("Faults under load")
    if lacking := missing():
        report.notes.append(f"Nothing was tried: {', '.join(lacking)} not installed here.")
        return report
    rng, seconds = random.Random(SEED), 3 if quick else 10
    trials: list[Trial] = []
    with on_postgresql() as servers:
        with with_sites(servers) as ground:
            statuses = asyncio.run(first_requests(ground, 4 if quick else 20))
            trials += _tried(ON_POSTGRESQL, ground, rng, seconds)
        with with_sites(servers, clock=True) as ground:
            trials += _tried(WITH_A_CLOCK, ground, rng, seconds)
    if can_mount():
        with on_sqlite() as ground:
            trials += _tried(ON_SQLITE, ground, rng, seconds)
    else:
        report.notes.append("The full disk was not tried: only root can mount a small one.")
    report.rows += _rows(trials, statuses)
    report.notes.append(_table(trials))
    report.notes.append(
        f"{RATE} requests a second, of which 65 % have good credentials, for {seconds} seconds "
        "each, against two sites by gunicorn (2 workers of 4 threads), one of which has `CACHE`. "
        "The clock is set in the processes of the sites only, by time-machine. A "
        "service is full again once each answer is the right one, however late: how fast is said "
        "by the machine, whose two cores others used too "
        f"(load average {os.getloadavg()[1]:.0f})."
    )
    return report


def _tried(
    faults: Iterable[Fault], ground: Ground, rng: random.Random, seconds: float
) -> list[Trial]:
    trials = []
    for fault in faults:
        victim = ground.tokens["victim"].pop()
        trials.append(asyncio.run(attempt(fault, ground, victim, rng, seconds)))
        last = trials[-1]
        wrong = f" ({last.wrong})" if last.wrong else ""
        print(f"  {fault.name}: full service after {last.recovery:.1f} s{wrong}", flush=True)
    return trials


def _rows(trials: list[Trial], first: list[int]) -> list[Row]:
    answers = [answer for trial in trials for answer in trial.answers]
    good = [answer for answer in answers if answer.kind in GOOD]
    bad = [answer for answer in answers if answer.kind in BAD]
    late = [answer for trial in trials for answer in trial.after_revocation()]
    answered = [a for trial in trials if not trial.fault.ends_workers for a in trial.answers]
    served = [answer for answer in answers if answer.status == 503]
    away = [answer for trial in trials for answer in trial.away()]
    counted = [trial for trial in trials if trial.connections]

    def row(promise: str, tried: list[Answer], is_broken: Callable[[Answer], bool]) -> Row:
        return Row(promise, len(tried), sum(map(is_broken, tried)), f"seed {SEED}")

    return [
        row(
            "A good credential is never answered 401 or 403",
            good,
            lambda answer: answer.status in (401, 403),
        ),
        row("A bad credential never gets in", bad, lambda answer: 200 <= answer.status < 400),
        row(
            "A key that is revoked during a fault never gets in afterwards",
            late,
            lambda answer: 200 <= answer.status < 400,
        ),
        row(
            "A good credential runs as its own user",
            [a for a in good if a.status == 200],
            lambda answer: answer.user != "ada",
        ),
        row("No request is answered 500", answers, lambda answer: answer.status in (500, 502, 504)),
        row(
            "While the database is away, a good credential that needs it is answered 503",
            away,
            lambda answer: answer.status != 503,
        ),
        row("Each 503 has Retry-After", served, lambda answer: not answer.has_retry_after),
        row(
            "Every request is answered, except by a killed worker",
            answered,
            lambda answer: answer.status == 0,
        ),
        Row(
            "Full service within five seconds of a fault's end",
            len(trials),
            sum(trial.recovery > FULL_SERVICE for trial in trials),
        ),
        Row(
            "No more connections than threads after a fault",
            len(counted),
            sum(
                trial.connections[1] > trial.connections_max
                for trial in counted
                if trial.connections
            ),
        ),
        Row(
            "The first requests after the database restarted are answered 200",
            len(first),
            sum(status != 200 for status in first),
            before="503 for each connection's first",
        ),
    ]


def _table(trials: list[Trial]) -> str:
    lines = [
        "| Fault | Good, during it | Bad, during it | Slowest good | Full service after"
        " | Connections |",
        "|---|---|---|---:|---:|---:|",
    ]
    for trial in trials:
        connections = "-"
        if trial.connections is not None:
            before, after = trial.connections
            connections = f"{before} before, {after} after, {trial.connections_max} at most"
        lines.append(
            f"| {trial.fault.name} | {trial.statuses(good=True)} | {trial.statuses(good=False)}"
            f" | {trial.slowest:.1f} s | {trial.recovery:.1f} s | {connections} |"
        )
    return "\n".join(lines)
