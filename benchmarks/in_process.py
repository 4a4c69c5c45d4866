"""Measures in this process what authentication adds to a request."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections

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

# An address of its own, so that failures don't count for the others.
MALFORMED_FROM = "192.0.2.1"


def measure(database: str, rounds: int) -> list[Table]:
    """The table of the packages, and the one of malformed credentials.

    Args:
        database: its name, by which the goals are found.
        rounds: how many times each is timed.
    """
    user = contenders.make_user("ada")
    ours = contenders.frappe_tokens(user)
    packages = [
        probe_of(ours),
        *(_prepared(ours) if database == "PostgreSQL" else []),
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
    tables = [
        _packages(packages, timings, {OURS: goals.DATABASE_LOOKUP.get(database), **_OTHERS}),
        _refusals(malformed, timings),
    ]
    for probe in packages:
        if probe.connection is not None:
            probe.connection.close()
    return tables


def _prepared(ours: Contender) -> list[Probe]:
    """Ours, where psycopg prepares statements that it has sent five times."""
    usual: Any = connections[DEFAULT_DB_ALIAS]
    # Ours compiles its statement for each class of connections.
    twin = type("Preparing", (type(usual),), {})(deepcopy(usual.settings_dict), usual.alias)
    twin.settings_dict["OPTIONS"]["prepare_threshold"] = 5
    return [replace(probe_of(ours, name=PREPARED), connection=twin)]


def _by_redis(ours: Contender) -> list[Probe]:
    # Django's backend creates a new client with each call.
    return [
        probe_of(ours, name=REDIS, cache="django-redis"),
        probe_of(ours, name=DJANGOS_REDIS, cache="redis"),
    ]


def _round_trip() -> Probe:
    """The least that Redis costs: one GET over an open connection."""
    from redis import ConnectionPool  # an extra

    connection: Any = ConnectionPool.from_url(settings.REDIS_URL or "").get_connection()
    command = connection.pack_command("GET", "frappe_tokens_bench:nothing")

    def get() -> Any:
        connection.send_packed_command(command)
        return connection.read_response()

    return Probe(ROUND_TRIP, lambda: Trial(get))


_OTHERS: dict[str, Goal | None] = {
    PREPARED: goals.PREPARED_LOOKUP,
    LOCAL: goals.LOCAL_CACHE,
    REDIS: goals.REDIS_CACHE,
}


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
    cold_timings = timings.cold or timings
    for probe in probes:
        cost = timings.above(probe.name, OPEN)
        ratio = timings.ratio(probe.name, YARDSTICK, OPEN)
        cold = cold_timings.ratio(probe.name, YARDSTICK, OPEN)
        queries = count_queries(probe)
        table.rows.append(
            (
                probe.name,
                f"{cost.middle:.0f}",
                quartiles(cost),
                f"{ratio.middle:.3f}",
                quartiles(ratio, 2),
                f"{cold.middle:.2f}",
                str(queries),
                *goals.cells(bounds.get(probe.name), ratio.middle),
            )
        )
        if probe.cache and queries:
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
