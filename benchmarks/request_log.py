"""Measures what the request log adds to a request."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.core.handlers.base import BaseHandler
from django.db import connection
from django.db.models import Sum
from django.http import HttpRequest
from django.test import override_settings

from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log import current_sink, unproven

from . import contenders, durable_log, goals
from .contenders import Contender
from .goals import Goal
from .measure import Figure, Probe, Trial, WrongAnswer, interleave, use
from .report import Table, quartiles, whole_and_ratio
from .requests import check_answer, count_queries, make_request

NO_LOG, NULL, DURABLE, BUFFERED = "no log", "null", "durable", "buffered"
LOGS = (NULL, DURABLE, BUFFERED)
PATH = "/frappe_tokens/"

# Consecutive requests: to fill the buffer, and then to time.
FILL, STREAM = 250, 500
STREAMS = 25  # of each kind, in turn


def readme(database: str, rounds: int) -> list[Table]:
    """Return the table of what the README sets up, against DRF's tokens."""
    user = contenders.make_user("ada")
    ours, theirs = contenders.frappe_tokens(user), contenders.drf_token(user)
    # What startproject sets, which is the example project's without our own.
    usual = [name for name in settings.MIDDLEWARE if not name.startswith("frappe_tokens.")]
    with_log, without = _handler([settings.LOG_MIDDLEWARE, *usual]), _handler(usual)
    name = "the README's set-up"
    probes = [
        Probe(name, partial(_trial, ours, with_log), log=BUFFERED),
        Probe(theirs.title, partial(_trial, theirs, without, "/drf_token/")),
    ]
    title = "The README's set-up, with its request log: a whole request against DRF's tokens"
    return [_compare(title, probes, theirs.title, {name: goals.README.get(database)}, rounds)]


def flood(requests: int) -> list[Table]:
    """Return the table of requests without a correct secret."""
    handler = _handler([settings.LOG_MIDDLEWARE, *settings.MIDDLEWARE])
    table = Table(
        f"{requests:,} consecutive requests of clients without a key",
        ("", "addresses", "us a request", "rows", "requests in them"),
    )
    for log in LOGS:
        for addresses in (1, requests // 10):
            use(log=log)
            unproven.limit.reset()
            cache.clear()
            begin = time.perf_counter()
            for number in range(requests):
                host = number % addresses
                request = make_request({"HTTP_AUTHORIZATION": "token nonsense", "PATH_INFO": PATH})
                request.META["REMOTE_ADDR"] = f"10.0.{host // 256}.{host % 256}"
                handler(request)
            taken = time.perf_counter() - begin
            unproven.limit.write_counts()
            current_sink().flush()
            rows = ApiRequestLog.objects.all()
            logged = rows.aggregate(Sum("number"))["number__sum"] or 0
            if log != NULL and logged != requests:
                raise WrongAnswer(f"Of {requests} requests, {logged} are in the log {log!r}.")
            table.rows.append(
                (
                    log,
                    f"{addresses:,}",
                    f"{taken / requests * 1e6:.0f}",
                    f"{len(rows):,}",
                    f"{logged:,}",
                )
            )
            rows.delete()
    use()
    table.notes.append(
        "Within one or two minutes. Null: nothing is stored. Each address gets at most 60 rows a "
        "minute, and all together 6,000. Further requests are counted."
    )
    return [table]


def measure(database: str, rounds: int) -> list[Table]:
    """Return the table of the logs, each timed ``rounds`` times and then in streams.

    On PostgreSQL, another shows where the durable log's time goes.
    """
    ours = contenders.frappe_tokens(contenders.make_user("ada"))
    without = _handler(settings.MIDDLEWARE)
    behind = _handler([settings.LOG_MIDDLEWARE, *settings.MIDDLEWARE])
    probes = [
        Probe(NO_LOG, partial(_trial, ours, without)),
        *(Probe(name, partial(_trial, ours, behind), log=name) for name in LOGS),
    ]
    title = "The request log: a whole authenticated request against one without"
    bounds = {DURABLE: goals.DURABLE_LOG.get(database), BUFFERED: goals.BUFFERED_LOG}
    table = _compare(title, probes, NO_LOG, bounds, rounds)
    table.notes.append(
        "Through the example project's middleware. No log: without RequestLogMiddleware. Null: "
        "with it, but nothing is stored."
    )
    if connection.vendor != "postgresql":
        return [table]
    trials = partial(_trial, ours, without), partial(_trial, ours, behind)
    return [table, durable_log.measure(*trials, rounds)]


def _compare(
    title: str,
    probes: list[Probe],
    yardstick: str,
    bounds: Mapping[str, Goal | None],
    rounds: int,
) -> Table:
    """Return the table of ``probes`` against the one named ``yardstick``."""
    timings = interleave(probes, rounds)
    _flush()
    requests = min(rounds, STREAM)
    streams = _streams([probe for probe in probes if probe.log != DURABLE], requests)
    queries = {probe.name: count_queries(probe) for probe in probes}
    _flush()
    ApiRequestLog.objects.all().delete()
    columns = ("", "us", "quartiles", "ratio", "quartiles", "stream", "quartiles", "SQL")
    table = Table(title, (*columns, *goals.COLUMNS))
    for probe in probes:
        whole, ratio = timings.total(probe.name), timings.ratio(probe.name, yardstick)
        measured, stream = [ratio.middle], ("-", "-")
        if probe.name in streams:
            pairs = zip(streams[probe.name], streams[yardstick], strict=True)
            in_stream = Figure.of([mine / other for mine, other in pairs])
            measured.append(in_stream.middle)
            stream = f"{in_stream.middle:.3f}", quartiles(in_stream, 2)
        table.rows.append(
            (
                probe.name,
                *whole_and_ratio(whole, ratio),
                *stream,
                str(queries[probe.name]),
                *goals.cells(bounds.get(probe.name), max(measured)),
            )
        )
    table.notes.append(
        f"Stream: {requests} consecutive requests, while the buffer's thread writes as many. The "
        "goal is for the worse of the two."
    )
    return table


def _handler(middleware: list[str]) -> Any:
    """Return Django's handler behind ``middleware``."""
    handler = BaseHandler()
    with override_settings(MIDDLEWARE=middleware):
        handler.load_middleware()
    return handler.get_response


def _trial(contender: Contender, handler: Callable[[HttpRequest], Any], path: str = PATH) -> Trial:
    request = make_request({**contender.headers, "PATH_INFO": path})
    return Trial(partial(handler, request), partial(check_answer, 200, contender.username))


def _streams(probes: list[Probe], requests: int) -> dict[str, list[float]]:
    """Return the seconds for this many requests, one figure per stream for each probe."""
    streams: dict[str, list[float]] = {probe.name: [] for probe in probes}
    for _ in range(STREAMS if requests == STREAM else 1):
        for probe in random.sample(probes, len(probes)):
            use(probe.cache, probe.log)
            streams[probe.name].append(_stream(probe, requests))
    use()
    return streams


def _stream(probe: Probe, requests: int) -> float:
    trials = [probe.prepare() for _ in range(FILL + requests)]
    sink, before = current_sink(), ApiRequestLog.objects.count()
    gc.collect()
    gc.disable()
    try:
        for trial in trials[:FILL]:
            trial.call()
        begin = time.perf_counter()
        for trial in trials[FILL:]:
            response = trial.call()
        taken = time.perf_counter() - begin
    finally:
        gc.enable()
    if trials[-1].check is not None:
        trials[-1].check(response)
    sink.flush()
    logged = ApiRequestLog.objects.count() - before
    if logged != (len(trials) if probe.log == BUFFERED else 0):
        raise WrongAnswer(f"Of {len(trials)} requests, {logged} are in the log {probe.log!r}.")
    return taken


def _flush() -> None:
    """Write all waiting rows, so that none is written during a measurement."""
    use(log=BUFFERED)
    current_sink().flush()
    use()
