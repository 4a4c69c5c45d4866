"""Upgrades and downgrades of a million keys and ten million logged requests, under load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..report import Report, Row
from ..upgrades import SERVERS

ROOT = Path(__file__).resolve().parents[2]
KEYS, ROWS = 1_000_000, 10_000_000
# Another number of rows, and a tenth of it of keys, in the environment.
ROWS_VARIABLE = "UPGRADES_ROWS"
# A folder with what ``python -m trust.upgrades SERVER --json=FOLDER/SERVER.json`` found before.
FOUND_VARIABLE = "UPGRADES_FOUND"
# Databases that are tried side by side.
PROCESSES = 2
QUICK_KEYS, QUICK_ROWS = 2_000, 20_000

# How much longer than without a migration a request may take: PostgreSQL's autovacuum lets a
# migration wait for a second (deadlock_timeout), and so does the limit that a migration is given.
# The rest is for a busy machine.
SLOW = 3.0  # s

SHORT = {"frappe_tokens_apikey": "keys", "frappe_tokens_apirequestlog": "log"}
TITLES = {
    "next_1_key_nullable": "keys: add a column that may be NULL",
    "next_2_key_default": "keys: add a column with a default, NOT NULL",
    "next_3_log_nullable": "log: add a column that may be NULL",
    "next_4_log_default": "log: add a column with a default, may be NULL",
    "next_5_log_index": "log: add an index",
    "next_6_key_check": "keys: add a CHECK for new rows",
    "next_7_key_valid": "keys: check the old rows",
    "next_8_key_fill": "keys: fill a column in batches",
}
# They change no table on MariaDB.
WITHOUT_DDL = {"next_7_key_valid", "next_8_key_fill"}

TRAPS = (
    "What isn't online everywhere, without requests: how long it took, and in brackets, how long a "
    "read and a write took meanwhile, at most."
)


def run(*, quick: bool) -> Report:
    report = Report("Upgrades")
    keys, rows = (QUICK_KEYS, QUICK_ROWS) if quick else (KEYS, ROWS)
    default = ""
    if number := os.environ.get(ROWS_VARIABLE):
        default = f" (`{ROWS_VARIABLE}`; by default {KEYS:,} and {ROWS:,})"
        keys, rows = int(number) // 10, int(number)
    all_found: dict[str, dict[str, Any]] = {}
    with ThreadPoolExecutor(PROCESSES) as threads:
        tried = threads.map(lambda server: _tried(server, keys, rows, quick), SERVERS)
        by_server = dict(zip(SERVERS, tried, strict=True))
    for server, found in by_server.items():
        report.rows += _rows(server, found, f"--keys {keys} --rows {rows}")
        if found:
            report.notes += [f"{SERVERS[server].title}:", _table(found), _summary(found)]
            all_found[SERVERS[server].title] = found
    if all_found:
        report.notes += [TRAPS, _traps(all_found)]
    report.notes.append(
        f"{keys:,} keys and {rows:,} rows of the log{default}. Meanwhile, gunicorn served the "
        "version before the migration: ten requests a second with keys, and each second one key "
        "was generated, used, rotated, revoked and tried again. Reads and writes of both tables "
        "were also asked by two connections of their own, every 50 ms: how long they took includes "
        "the wait for locks. Locks of PostgreSQL are sampled every 10 ms, so their times are upper "
        "bounds. For MariaDB, the algorithm is the least that it accepted. Databases were tried at "
        "the same time, and others used the two cores of the machine as well (load average "
        f"{os.getloadavg()[2]:.0f}): all times are upper bounds."
    )
    return report


def _tried(server: str, keys: int, rows: int, quick: bool) -> dict[str, Any]:
    """Return what a process for that server found; empty if it failed."""
    if earlier := os.environ.get(FOUND_VARIABLE):
        file = Path(earlier) / f"{server}.json"
        if file.exists():
            found_earlier: dict[str, Any] = json.loads(file.read_text())
            return found_earlier
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.json"
        command = [sys.executable, "-m", "trust.upgrades", server, f"--json={file}"]
        command += [f"--keys={keys}", f"--rows={rows}", *(["--quick"] if quick else [])]
        subprocess.run(command, cwd=ROOT, check=False)
        found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def _rows(name: str, found: dict[str, Any], sizes: str) -> list[Row]:
    server, command = SERVERS[name], f"python -m trust.upgrades {name} {sizes}"
    steps, answers = found.get("steps", []), found.get("answers", [])

    def row(promise: str, tried: int, failed: int) -> Row:
        return Row(f"{server.title}: {promise}", tried, failed, command)

    right = "every request is answered as without one"
    if not server.is_online:
        right += ", or 503 with `Retry-After`"
    wrong = [a for a in answers if a["status"] != a["wanted"]]
    if not server.is_online:
        wrong = [a for a in wrong if not a["away"]]
    rows = [
        row("Each migration runs, forwards and backwards", len(steps), 0),
        row(f"While migrations run, and after each, {right}", len(answers), len(wrong)),
    ]
    if server.is_online:
        online = [s for s in steps if not (s["forwards"] and s["name"] in server.not_online)]
        promise = "No request takes three seconds longer than the longest without a migration"
        if len(online) < len(steps):
            promise += ", except while the table of keys is copied for a CHECK"
        slow = found.get("idle_longest", 0.0) + SLOW
        rows.append(row(promise, len(online), sum(step["longest"] > slow for step in online)))
        tried = int(bool(found))
        kept = tried and found["unchanged_by_limited"] and found["limited"] < slow
        rows.append(
            row(
                "A migration that waits for a lock gives up by its limit, has changed nothing, and "
                "has delayed requests no longer",
                tried,
                tried - int(kept),
            )
        )
    answered = sum(a["status"] != 0 for a in answers)
    rows.append(
        row(
            "Each request that was answered is in the log once",
            answered,
            abs(answered - found.get("logged", 0)),
        )
    )
    if found.get("interrupted"):
        tried = len(found["interrupted"])
        rows.append(row("A migration that was interrupted can be run again", tried, 0))
    same = found.get("same_rows", False)
    rows += [
        row("No row and no digest is changed by all of them", found.get("rows", 0), int(not same)),
        row(
            "Backwards, columns, constraints and indexes become what they were",
            found.get("schema", 0),
            len(found.get("schema_differs", [])),
        ),
        row(
            "All the way down, and up again: the same schema, the same rights, and a new key works",
            len(found.get("zero", {})),
            sum(not holds for holds in found.get("zero", {}).values()),
        ),
    ]
    if partitioned := found.get("partitioned"):
        failed = sum(not holds for holds in partitioned.values())
        rows.append(row("The index is also added to a partitioned log", len(partitioned), failed))
    return rows


def _table(found: dict[str, Any]) -> str:
    lines = [
        "| Migration | | Seconds | Locks | A read took | A write took | A request took | 503 |",
        "|---|---|---:|---|---:|---:|---:|---:|",
    ]
    for step in found["steps"]:
        direction = "forwards" if step["forwards"] else "backwards"
        locks = [_lock(name, seconds) for name, seconds in sorted(step["locks"].items())]
        algorithm = found["algorithms"].get(f"{step['name']} {direction}")
        if algorithm and step["name"] not in WITHOUT_DDL:
            locks = [algorithm]
        lines.append(
            f"| {TITLES.get(step['name'], step['name'])} | {direction} | {step['seconds']:.1f}"
            f" | {', '.join(locks)} | {step['read']:.2f} s | {step['write']:.2f} s"
            f" | {step['longest']:.2f} s | {step['away'] or ''} |"
        )
    return "\n".join(lines)


def _traps(all_found: dict[str, dict[str, Any]]) -> str:
    lines = [f"| Migration | {' | '.join(all_found)} |", "|---|" + "---|" * len(all_found)]
    for title in next(iter(all_found.values()))["traps"]:
        cells = [
            "{seconds:.1f} s ({read:.1f} s, {write:.1f} s)".format(**found["traps"][title])
            for found in all_found.values()
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _lock(name: str, seconds: float) -> str:
    table, _, mode = name.partition(" ")
    return f"{SHORT.get(table, table)} {mode.removesuffix('Lock')} {seconds:.2f} s"


def _summary(found: dict[str, Any]) -> str:
    asked = Counter(answer["kind"] for answer in found["answers"])
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in asked.most_common())
    text = [f"Without a migration, a request took {found['idle_longest']:.2f} s at most. {kinds}."]
    if found["limited"] is not None:
        text.append(
            "While another connection read in a transaction for five seconds, and a migration had "
            f"to wait for it, a request took {found['limited']:.1f} s with a limit of one second"
        )
        if found["unlimited"] is not None:
            text[-1] += f", and {found['unlimited']:.1f} s without"
        text[-1] += "."
    if found["interrupted"]:
        text.append(f"Interrupted were: {'; '.join(found['interrupted'])}.")
    return " ".join(text)
