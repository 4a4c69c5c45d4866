"""Measures in this process what authentication adds to a request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.db import connection

from frappe_tokens.lookup import statement

from . import contenders, goals
from .contenders import Contender
from .goals import Goal
from .measure import Probe, Timings, Trial, interleave
from .report import Table, quartiles, whole_and_ratio
from .requests import count_queries, probe_of

OPEN = "open view"
OURS = "frappe_tokens"
PREPARED = "frappe_tokens, prepare_threshold"
LOCAL = "frappe_tokens, local memory"
REDIS = "frappe_tokens, Redis by django-redis"
ROUND_TRIP = "a round trip to Redis"
DJANGOS_REDIS = "frappe_tokens, Redis by Django"
YARDSTICK = "DRF TokenAuthentication"

# A separate address, so that failures don't count for the others.
MALFORMED_FROM = "192.0.2.1"


def measure(database: str, rounds: int) -> list[Table]:
    """Return the table of the packages, and the one of malformed credentials.

    Args:
        database: its name, for the goals.
        rounds: how many times each is timed.
    """
    user = contenders.make_user("ada")
    ours = contenders.frappe_tokens(user)
    packages = [
        probe_of(ours),
        probe_of(ours, name=LOCAL, cache="local"),
        *(_by_redis(ours) if "redis" in settings.CACHES else []),
        probe_of(contenders.drf_token(user)),
        probe_of(contenders.session(user)),
        probe_of(contenders.knox(user)),
        probe_of(contenders.api_key(user)),
        probe_of(contenders.simplejwt(user)),
        probe_of(contenders.oauth_toolkit(user)),
    ]
    malformed = _malformed(ours)
    opened = probe_of(contenders.opened())
    bare = [_round_trip()] if "redis" in settings.CACHES else []
    timings = interleave([opened, *packages, *malformed, *bare], rounds)
    bounds = {
        OURS: goals.DATABASE_LOOKUP.get(database),
        LOCAL: goals.LOCAL_CACHE.get(database),
        REDIS: goals.REDIS_CACHE.get(database),
    }
    table, refusals = _packages(packages, timings, bounds), _refusals(malformed, timings)
    if database == "PostgreSQL":
        prepared, yardstick = probe_of(ours, name=PREPARED), probe_of(contenders.drf_token(user))
        with _preparing():
            timings = interleave([opened, prepared, yardstick], rounds)
            table.rows.insert(1, _row(prepared, timings, goals.PREPARED_LOOKUP))
    return [table, refusals]


@contextmanager
def _preparing() -> Iterator[None]:
    """Have psycopg prepare our statement. Other packages' queries are never prepared."""
    options = connection.settings_dict["OPTIONS"]
    usual = dict(options)
    options["prepare_threshold"] = 5
    _connect_again()
    yield
    options.clear()
    options.update(usual)
    _connect_again()


def _connect_again() -> None:
    connection.close()
    # Our statement was compiled for the old connection.
    statement._statements.clear()


def _by_redis(ours: Contender) -> list[Probe]:
    # Django's backend creates a new client for each call.
    return [
        probe_of(ours, name=REDIS, cache="django-redis"),
        probe_of(ours, name=DJANGOS_REDIS, cache="redis"),
    ]


def _round_trip() -> Probe:
    """The least that Redis costs: one GET over an open connection."""
    from redis import ConnectionPool  # an extra

    redis: Any = ConnectionPool.from_url(settings.REDIS_URL or "").get_connection()
    command = redis.pack_command("GET", "frappe_tokens_bench:nothing")

    def get() -> Any:
        redis.send_packed_command(command)
        return redis.read_response()

    return Probe(ROUND_TRIP, lambda: Trial(get))


def _malformed(ours: Contender) -> list[Probe]:
    right = ours.headers["HTTP_AUTHORIZATION"]
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    return [
        probe_of(
            replace(ours, headers={"HTTP_AUTHORIZATION": header, "REMOTE_ADDR": MALFORMED_FROM}),
            name=name,
            status=401,
        )
        for name, header in (("token nonsense", "token nonsense"), ("a wrong checksum", wrong))
    ]


def _packages(probes: list[Probe], timings: Timings, bounds: dict[str, Goal | None]) -> Table:
    table = Table(
        "Authenticating one request, above the open view",
        ("", "us", "quartiles", "ratio", "quartiles", "cold", "SQL", *goals.COLUMNS),
    )
    for probe in probes:
        row = _row(probe, timings, bounds.get(probe.name))
        table.rows.append(row)
        if probe.cache and row[6] != "0":
            table.notes.append(f"{probe.name}: the cache served nothing.")
    if "redis" not in settings.CACHES:
        table.notes.append("Redis was left out: REDIS_URL is not set.")
    else:
        bare, yardstick = timings.total(ROUND_TRIP), timings.above(YARDSTICK, OPEN)
        table.notes.append(
            f"A GET to Redis by itself: {bare.middle:.0f} us ({quartiles(bare)}), which is"
            f" {bare.middle / yardstick.middle:.2f} of {YARDSTICK}'s."
        )
    whole = timings.total(OPEN)
    table.notes.append(f"The open view itself: {whole.middle:.0f} us ({quartiles(whole)}).")
    return table


def _row(probe: Probe, timings: Timings, goal: Goal | None) -> tuple[str, ...]:
    cost = timings.above(probe.name, OPEN)
    ratio = timings.ratio(probe.name, YARDSTICK, OPEN)
    cold = (timings.cold or timings).ratio(probe.name, YARDSTICK, OPEN)
    return (
        probe.name,
        f"{cost.middle:.0f}",
        quartiles(cost),
        f"{ratio.middle:.3f}",
        quartiles(ratio, 2),
        f"{cold.middle:.2f}",
        str(count_queries(probe)),
        *goals.cells(goal, ratio.middle),
    )


def _refusals(probes: list[Probe], timings: Timings) -> Table:
    table = Table(
        "A malformed credential, answered 401: the whole request against the open view's",
        ("", "us", "quartiles", "ratio", "quartiles", "cold", "SQL", *goals.COLUMNS),
    )
    cold_timings = timings.cold or timings
    for probe in probes:
        whole = timings.total(probe.name)
        ratio = timings.ratio(probe.name, OPEN)
        cold = cold_timings.ratio(probe.name, OPEN)
        table.rows.append(
            (
                probe.name,
                *whole_and_ratio(whole, ratio),
                f"{cold.middle:.2f}",
                str(count_queries(probe)),
                *goals.cells(goals.MALFORMED, ratio.middle),
            )
        )
    return table
