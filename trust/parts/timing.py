"""How long refusals take, over a socket: whether that says anything about a key."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass

from ..faults.servers import missing
from ..report import Report, Row
from ..timing import kinds, limit
from ..timing.client import Measured
from ..timing.difference import T_LEAK, T_SUSPICIOUS, Difference, compare
from ..timing.kinds import CONTROL, UNKNOWN, Kind
from ..timing.site import Site, site

SEED = 20_26


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured, and what that is enough for.

    Attributes:
        blocks: the number of blocks.
        requests: of each main kind in each block.
        state: the bound between keys, whatever their state, as a share of a request.
        existence: the bound between a key and none.
        leak: the difference that must be found, in microseconds.
    """

    blocks: int
    requests: int
    state: float
    existence: float
    leak: int


QUICK = Size(blocks=12, requests=16, state=1.0, existence=1.0, leak=20_000)
FULL = Size(blocks=100, requests=200, state=0.03, existence=0.15, leak=100)


@dataclass(frozen=True, slots=True)
class Setting:
    """A server to measure, and the kinds of requests that it gets.

    Attributes:
        before: how far it was from keeping the bound between keys, before that was mended.
    """

    title: str
    kinds: tuple[Kind, ...]
    cache: str = ""
    limit: str = ""
    before: str = ""


SETTINGS = (
    Setting("Without a cache", kinds.ALL),
    Setting("Cached in local memory", kinds.MAIN, "default", before="44 % less for cached keys"),
    Setting("Cached in Redis", kinds.MAIN, "redis", before="35 % less for cached keys"),
    Setting("With failures counted", kinds.COUNTED, limit="999999999/minute"),
)


def run(*, quick: bool) -> Report:
    report = Report("Timing")
    if lacking := missing():
        report.notes.append(f"Nothing was tried: {', '.join(lacking)} not installed here.")
        return report
    size, began = QUICK if quick else FULL, time.monotonic()
    with site(SEED) as served:
        for setting in SETTINGS:
            found = _measured(served, setting, size)
            differences = _differences(setting.kinds, found)
            report.rows += _rows(setting, found, differences, size)
            report.notes += [_table(setting, differences), _bounds(setting, differences, size)]
        report.rows.append(_leak_row(served, size))
        report.rows.append(_limit_row(served))
    report.notes.append(
        f"{size.blocks * size.requests:,} requests of each main kind, and a quarter as many of "
        f"those that only the first table has, in {size.blocks} blocks, each in random order. A "
        "difference is the mean of the blocks' differences of medians, with its 99.9 % interval, "
        "which must lie within the bound. t is the greatest of dudect's tests: "
        f"{T_SUSPICIOUS} is suspicious, and {T_LEAK:.0f} a difference. The last column has the "
        "requests of each kind after which t would be suspicious. All took "
        f"{time.monotonic() - began:.0f} seconds (load average {os.getloadavg()[1]:.0f} on "
        f"{os.cpu_count()} cores)."
    )
    return report


def _measured(served: Site, setting: Setting, size: Size, leak: int = 0) -> Measured:
    with served.client(cache=setting.cache, limit=setting.limit, leak=leak) as client:
        rng = random.Random(SEED)
        found = client.measure(setting.kinds, served.api_keys, rng, size.blocks, size.requests)
    print(f"  {setting.title}: measured", flush=True)
    return found


def _differences(measured: Iterable[Kind], found: Measured) -> dict[Kind, Difference]:
    return {
        kind: compare(found.blocks[kind.name], found.blocks[kind.like])
        for kind in measured
        if kind.like
    }


def _rows(
    setting: Setting, found: Measured, differences: dict[Kind, Difference], size: Size
) -> list[Row]:
    total, control = sum(found.responses.values()), differences[CONTROL]

    def row(promise: str, compared: list[Difference], bound: float, before: str = "") -> Row:
        beyond = sum(difference.most > bound * difference.median for difference in compared)
        tried = sum(difference.samples for difference in compared)
        title = f"{setting.title}: {promise} by less than {bound:.0%}"
        return Row(title, tried, beyond, f"seed {SEED}", before)

    about_existence = [d for kind, d in differences.items() if kind.tells_existence]
    about_state = [d for kind, d in differences.items() if kind.tells_state]
    return [
        Row(
            f"{setting.title}: all of these refusals have the same bytes",
            total,
            total - max(found.responses.values()),
            f"seed {SEED}",
        ),
        Row(
            f"{setting.title}: the test finds no difference between unknown keys and others",
            control.samples,
            int(abs(control.t) > T_SUSPICIOUS),
            f"seed {SEED}",
        ),
        row(
            "a key's state changes the time for a wrong secret",
            about_state,
            size.state,
            setting.before,
        ),
        row("a key's existence changes the time", about_existence, size.existence),
    ]


def _leak_row(served: Site, size: Size) -> Row:
    """Whether this would find a leak."""
    found = _measured(served, Setting("With a leak", (UNKNOWN, CONTROL)), size, size.leak)
    leak = compare(found.blocks[CONTROL.name], found.blocks[UNKNOWN.name])
    is_found = leak.t > T_LEAK and abs(leak.middle - size.leak) < size.leak / 2
    promise = f"The test finds a difference of {size.leak:,} µs that was made on purpose"
    return Row(promise, leak.samples, int(not is_found), f"seed {SEED}")


def _limit_row(served: Site) -> Row:
    rng, tried, failed = random.Random(SEED), 0, 0
    for cache in ("", "default", "redis"):
        with served.client(cache=cache, limit=limit.LIMIT) as client:
            for responses, expected in limit.tried(client, served.api_keys, rng):
                tried += 1
                failed += responses != expected or not limit.is_limited(expected)
    promise = "Known and unknown keys reach FAILURE_LIMIT after as many failures, by the same bytes"
    return Row(promise, tried, failed, f"seed {SEED}")


def _table(setting: Setting, differences: dict[Kind, Difference]) -> str:
    lines = [
        f"| {setting.title} | compared with | difference, µs | of | t | requests |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for kind, d in differences.items():
        lines.append(
            f"| {kind.name} | {kind.like} | {d.middle:+.1f} ± {d.error:.1f} | {d.median:.0f}"
            f" | {d.t:.1f} | {d.needed:,.0f} |"
        )
    return "\n".join(lines)


def _bounds(setting: Setting, differences: dict[Kind, Difference], size: Size) -> str:
    state = max((d for kind, d in differences.items() if kind.tells_state), key=_most)
    existence = max((d for kind, d in differences.items() if kind.tells_existence), key=_most)
    return (
        f"{setting.title}, the state of a key makes a difference of {state.most:.0f} µs at most "
        f"({_most(state):.1%}; the bound is {size.state * state.median:.0f} µs), and its existence "
        f"{existence.most:.0f} µs ({_most(existence):.1%}; the bound is "
        f"{size.existence * existence.median:.0f} µs)."
    )


def _most(difference: Difference) -> float:
    return difference.most / difference.median
