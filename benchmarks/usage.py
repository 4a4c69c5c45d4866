"""Counts the requests of thirty days in a large request log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import partial
from itertools import islice
from random import random
from typing import Any

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from frappe_tokens.models import ApiKey, ApiRequestLog
from frappe_tokens.request_log.usage import (
    DAYS,
    SAMPLE,
    latest_of,
    requests_of_key,
    requests_of_user,
    usage_of,
)

from . import goals, population
from .contenders import make_user
from .goals import Goal
from .measure import Figure, Probe, Trial, WrongAnswer, interleave
from .report import Table

KEYS = 1000
# The length of the log, so that a third of its rows is counted.
LOG_DAYS = 90
# One of this many requests is this key's: a hundred thousand in thirty days of ten million.
BUSY_EVERY = 33
BUSY, USUAL, BUSIEST = KEYS, KEYS // 2, 0

BUSY_KEY = "a busy key"
LATEST = "the busy key's last use and top paths"

MOST_ROUNDS = 20


def measure(rows: int, rounds: int) -> list[Table]:
    """Return the table of the counts, in a log with ``rows``."""
    make_user("ada")
    populate(rows)
    title = f"Thirty days of requests, at {rows:,} rows"
    table = Table(title, ("", "requests", "ms", "quartiles", "SQL", *goals.COLUMNS))
    everything = ApiRequestLog.objects.all()
    user = make_user("ada")
    user.pk = _user(BUSY)
    goal = goals.USAGE_OF_KEY if rows >= goals.LOG_ROWS else None
    asked: list[tuple[str, QuerySet[ApiRequestLog], Goal | None]] = [
        ("an average key", requests_of_key(_key(USUAL)), goal),
        (BUSY_KEY, requests_of_key(_key(BUSY)), goal),
        ("the busiest key, one request in ten", requests_of_key(_key(BUSIEST)), None),
        ("the busy key's user", requests_of_user(user), None),
        ("refused for one reason", everything.filter(outcome="key_expired"), None),
        ("all", everything, None),
    ]
    # Fixed, so that the end of a day doesn't matter.
    today = timezone.localdate()
    counts = {name: usage_of(requests, DAYS, today).total for name, requests, _ in asked}
    probes = [_probe(name, requests, today, counts[name]) for name, requests, _ in asked]
    latest = Probe(LATEST, partial(Trial, partial(latest_of, requests_of_key(_key(BUSY)))))
    timings = interleave([*probes, latest], min(rounds, MOST_ROUNDS))
    for name, _, bound in asked:
        table.rows.append(_row(name, counts[name], timings.total(name), bound))
    table.rows.append(_row(LATEST, min(counts[BUSY_KEY], SAMPLE), timings.total(LATEST), None))
    table.notes.append(
        f"{KEYS:,} keys and a busy one, each of another user, over {LOG_DAYS} days. The busiest "
        "has a tenth of all requests; the others have fewer and fewer."
    )
    if plan := _plan(requests_of_key(_key(BUSY))):
        table.notes.append(f"The plan for a key: {plan}.")
    return [table]


def _row(name: str, requests: int, taken: Figure, goal: Goal | None) -> tuple[str, ...]:
    middle, low, high = (value / 1000 for value in (taken.middle, taken.low, taken.high))
    cells = goals.cells(goal, middle)
    return (name, f"{requests:,}", f"{middle:.1f}", f"{low:.1f}-{high:.1f}", "1", *cells)


def _probe(name: str, requests: QuerySet[ApiRequestLog], today: date, count: int) -> Probe:
    def check(usage: Any) -> None:
        if usage.total != count or len(usage.days) != DAYS:
            raise WrongAnswer(f"{name}: counted {usage.total} requests, and {count} before.")

    return Probe(name, partial(Trial, partial(usage_of, requests, DAYS, today), check))


def _key(number: int) -> ApiKey:
    return ApiKey(api_key=population.api_key(number + 1))


def _user(number: int) -> int:
    return 1_000_000 + number


def populate(rows: int) -> None:
    """Insert ``rows`` requests until now, in order."""
    meta = ApiRequestLog._meta
    put_in: Callable[[int], None] = _insert_select if connection.vendor == "postgresql" else _insert
    if connection.vendor == "postgresql":
        # Sorting is faster than inserting one by one into an index that doesn't fit into memory.
        with connection.schema_editor() as editor:
            for index in meta.indexes:
                editor.remove_index(ApiRequestLog, index)
        put_in(rows)
        with connection.schema_editor() as editor:
            for index in meta.indexes:
                editor.add_index(ApiRequestLog, index)
    else:
        put_in(rows)
    population.analyse(ApiRequestLog)


def _insert_select(rows: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO frappe_tokens_apirequestlog (at, user_id, api_key, source, method, path, "
            "status, duration_ms, ip, user_agent, outcome, number) "
            "SELECT now() - %s * (1 - n / %s::float), %s + k, "
            "'ftk_' || substr(md5('user-' || k + 1), 1, 16), 'User', 'GET', "
            "'/api/resource/ToDo/' || n %% 500, CASE WHEN r < 0.97 THEN 200 ELSE 401 END, 12, "
            "'192.0.2.7', 'python-requests/2.32.3', CASE WHEN r < 0.97 THEN 'accepted' "
            "WHEN r < 0.99 THEN 'key_expired' ELSE 'insufficient_scope' END, 1 "
            "FROM (SELECT n, random() AS r, CASE WHEN n %% %s = 0 THEN %s "
            "ELSE floor(%s * power(random(), 3)) END::integer AS k "
            "FROM generate_series(1, %s) AS n) AS numbered",
            [timedelta(days=LOG_DAYS), rows, _user(0), BUSY_EVERY, BUSY, KEYS, rows],
        )


def _insert(rows: int) -> None:
    instances = _instances(rows)
    while batch := list(islice(instances, population.BATCH)):
        ApiRequestLog.objects.bulk_create(batch)


def _instances(rows: int) -> Iterator[ApiRequestLog]:
    now = timezone.now()
    for n in range(1, rows + 1):
        chance = random()
        k = BUSY if n % BUSY_EVERY == 0 else int(KEYS * random() ** 3)
        yield ApiRequestLog(
            at=now - timedelta(days=LOG_DAYS) * (1 - n / rows),
            user_id=_user(k),
            api_key=population.api_key(k + 1),
            source="User",
            method="GET",
            path=f"/api/resource/ToDo/{n % 500}",
            status=200 if chance < 0.97 else 401,
            duration_ms=12,
            ip="192.0.2.7",
            user_agent="python-requests/2.32.3",
            outcome=(
                "accepted"
                if chance < 0.97
                else "key_expired"
                if chance < 0.99
                else "insufficient_scope"
            ),
        )


def _plan(requests: QuerySet[ApiRequestLog]) -> str:
    """Return PostgreSQL's plan in one line; "" on other databases."""
    if connection.vendor != "postgresql":
        return ""
    seen: list[str] = []

    def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        execute("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) " + sql, params, many, context)
        seen.extend(line.strip() for (line,) in context["cursor"].fetchall())
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        usage_of(requests)
    # The groups' key is long.
    wanted = ("HashAggregate", "GroupAggregate", "Gather", "Sort", "->", "Heap Fetches")
    return ", ".join(line.removeprefix("->").strip() for line in seen if line.startswith(wanted))
