"""Shows where the time of the durable request log goes, on PostgreSQL.

Each of the logs below does what the one before it does, and more. Like ``stages``, this calls
private functions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

from frappe_tokens.request_log import Entry, Sink, insertion

from .measure import Probe, Trial, interleave
from .report import Table, quartiles


class Entries(Sink):
    """Drops what it gets."""

    def write(self, entry: Entry) -> None:
        pass


class Statements(Sink):
    """Makes the text of the INSERT, with its parameters."""

    def write(self, entry: Entry) -> None:
        connection: Any = connections[DEFAULT_DB_ALIAS]
        connection.ops.compose_sql(*insertion._statement(connection, [entry]))


class RoundTrips(Statements):
    """Then asks the database for next to nothing."""

    def write(self, entry: Entry) -> None:
        super().write(entry)
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute("SELECT 1")


NO_LOG, DURABLE, NOT_FLUSHED = "no log", "durable", "not flushed"
_OWN = {sink.__name__: f"{__name__}.{sink.__name__}" for sink in (Entries, Statements, RoundTrips)}
LOGS = {"null": "null", **_OWN, NOT_FLUSHED: DURABLE, DURABLE: DURABLE}

# Each is the time of the first log less that of the second.
STAGES = [
    ("the middleware", "null", NO_LOG),
    ("the entry", "Entries", "null"),
    ("the statement with its parameters", "Statements", "Entries"),
    ("a round trip, with Django's cursor", "RoundTrips", "Statements"),
    ("the INSERT, with five indexes", NOT_FLUSHED, "RoundTrips"),
    ("the commit: waiting for the disk", DURABLE, NOT_FLUSHED),
    ("all", DURABLE, NO_LOG),
]


def measure(without: Callable[[], Trial], behind: Callable[[], Trial], rounds: int) -> Table:
    """Return the table of the stages, each timed ``rounds`` times.

    Args:
        without: prepares a request that isn't logged.
        behind: prepares one that is.
        rounds: how often to time each.
    """

    def prepare(name: str) -> Trial:
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute(f"SET synchronous_commit = {'off' if name == NOT_FLUSHED else 'on'}")
        return without() if name == NO_LOG else behind()

    probes = [Probe(NO_LOG, partial(prepare, NO_LOG))]
    probes += [Probe(name, partial(prepare, name), log=log) for name, log in LOGS.items()]
    timings = interleave(probes, rounds)
    request = timings.total(NO_LOG).middle
    table = Table("The durable log: where its time goes", ("", "us", "quartiles", "ratio"))
    for title, name, less in STAGES:
        taken = timings.above(name, less)
        ratio = f"{taken.middle / request:.2f}"
        table.rows.append((title, f"{taken.middle:.0f}", quartiles(taken), ratio))
    table.notes.append(
        "Ratio: to a whole request that isn't logged. These are medians of differences, so they "
        "don't add up exactly."
    )
    return table
