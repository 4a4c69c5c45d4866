"""Races: keys and users are written by parallel calls, in orders that seeds repeat."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..races import LAST_WINS, NO_ERROR, NO_ORPHANS, NO_REVIVAL, NO_STALE_HIT, SERVERS
from ..report import Report, Row

ROOT = Path(__file__).resolve().parents[2]
RACES, QUICK_RACES = 5_000, 20
# Per process, which first creates a database.
CHUNK = 1_000
COMMAND = "python -m trust.races"

NOTE = (
    "Before, deleting a user failed if a key was generated between Django's reading of what to "
    "delete and the deletion (the database's foreign key), and on SQLite also with a cache, which "
    "was read first (“database is locked”). With *repeatable read*, deadlocks reached the caller. "
    "To see that races find what is broken, the call that ends cache entries when a key is revoked "
    "was taken out, then the locks: within 250 races, secrets of revoked keys were accepted, and "
    "revoked keys became live again."
)

PROMISES = (NO_ERROR, NO_REVIVAL, NO_STALE_HIT, LAST_WINS, NO_ORPHANS)

# Before the app locked users who are deleted, and repeated transactions that ended in a deadlock.
BEFORE = {
    ("sqlite", NO_ERROR): "22 of 300",
    ("postgresql", NO_ERROR): "10 of 300",
    ("mariadb", NO_ERROR): "10 of 300",
    ("mariadb-repeatable-read", NO_ERROR): "10 of 300",
}


def run(*, quick: bool) -> Report:
    end, size = (QUICK_RACES, QUICK_RACES) if quick else (RACES, CHUNK)
    chunks = [(server, start, start + size) for start in range(0, end, size) for server in SERVERS]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        found = list(threads.map(_races, chunks))
    return report_of(found)


def _races(chunk: tuple[str, int, int]) -> dict[str, Any]:
    server, start, end = chunk
    finished = subprocess.run(
        [*(sys.executable, "-m", "trust.races", server), f"--seeds={start}:{end}", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    sys.stderr.write(finished.stderr[-2000:])
    if not finished.stdout:
        return {"server": server, "ran": 0, "waits": 0, "failures": [], "operations": {}}
    found: dict[str, Any] = json.loads(finished.stdout)
    return found


def report_of(chunks: Iterable[Mapping[str, Any]]) -> Report:
    """Return the report of what chunks of races found."""
    report = Report("Races")
    operations: Counter[str] = Counter()
    waits: Counter[str] = Counter()
    by_server: dict[str, list[Mapping[str, Any]]] = {}
    for chunk in chunks:
        by_server.setdefault(chunk["server"], []).append(chunk)
        operations.update(chunk["operations"])
        waits[chunk["server"]] += chunk["waits"]
    for server, found in by_server.items():
        report.rows += [_row(server, promise, found) for promise in PROMISES]
    report.notes.append(NOTE)
    if operations:
        (commonest, most), *_, (rarest, least) = operations.most_common()
        times = ", ".join(f"{SERVERS[server].title} {count:,}" for server, count in waits.items())
        report.notes.append(
            f"{len(operations)} operations took part, from {least:,} times ({rarest}) to {most:,} "
            f"({commonest}). Calls waited for locks of others: {times} times."
        )
    report.notes += [
        f"{SERVERS[server].title}: {each['text']} (seed {each['seed']}: {each['operations']})"
        for server, found in by_server.items()
        for chunk in found
        for each in chunk["failures"]
    ][:20]
    return report


def _row(server: str, promise: str, found: Sequence[Mapping[str, Any]]) -> Row:
    seeds = {
        failure["seed"]
        for chunk in found
        for failure in chunk["failures"]
        if failure["promise"] == promise
    }
    ran = sum(chunk["ran"] for chunk in found)
    shown = min(seeds) if seeds else f"0:{ran}"
    return Row(
        f"{SERVERS[server].title}: {promise}",
        ran,
        len(seeds),
        f"{COMMAND} {server} --seeds {shown}",
        BEFORE.get((server, promise), ""),
    )
