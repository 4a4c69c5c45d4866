"""Looks at processes from outside: their arguments, their environment and their memory."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .driver import ROOT, Site
from .search import Findings

if TYPE_CHECKING:
    from .planted import Planted

AFTERWARDS = 200


def commands(site: Site, findings: Findings, names: Sequence[str] = ()) -> int:
    """Run the commands, all or those of ``names``. Return how many errors were raised."""
    url = f"http://127.0.0.1:{site.port}/"
    finished = subprocess.run(
        [sys.executable, "-m", "trust.canaries.commands", url, *names],
        cwd=ROOT,
        env={**os.environ, **site.environment, "TRUST_PII": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    findings.look("commands", finished.stderr, "commands")
    if finished.returncode:
        raise RuntimeError(finished.stderr[-2000:])
    return int(finished.stdout)


def arguments(site: Site, planted: Planted, findings: Findings, worker: int) -> None:
    """Read those of the worker, and of a command that waits for its secret."""
    url = f"http://127.0.0.1:{site.port}/api/method/frappe.auth.get_logged_user"
    command = subprocess.Popen(
        [sys.executable, "manage.py", "check_token", url],
        cwd=ROOT,
        env={**os.environ, **site.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    _look_at(command.pid, findings)
    said, _ = command.communicate(planted.pair + "\n", timeout=60)
    if command.returncode:
        raise RuntimeError(said)
    findings.look("commands", said, "check_token")
    _look_at(worker, findings)


def _look_at(pid: int, findings: Findings) -> None:
    for name in ("cmdline", "environ"):
        text = Path(f"/proc/{pid}/{name}").read_text(errors="replace")
        findings.look("processes", text, name)


def held(site: Site, findings: Findings) -> None:
    """Search the strings that anything in the worker refers to between two requests."""
    if (answer := site.send("GET", "/trust/held/")).status != 200:
        raise RuntimeError(answer.body[-2000:])
    text = (site.directory / "held").read_text(errors="replace")
    findings.look("held", text, "held")


def memory(site: Site, planted: Planted, worker: int) -> list[str]:
    """Dump the core of the worker, kill it, and say what was in it."""
    known = {
        "an API secret": planted.pair.partition(":")[2],
        "an old secret": planted.old_pair.partition(":")[2],
        "a wrong secret": planted.unknown,
        "a new secret": planted.last_secret,
        "an access token": planted.access_token,
        "a client secret": planted.client_secret,
    }
    after = {0: _core(site, worker, known)}
    for _ in range(AFTERWARDS):
        site.send("GET", "/trust/pid/")
    after[AFTERWARDS] = _core(site, worker, known)
    os.kill(worker, signal.SIGABRT)
    return [
        f"In the core of a worker, {number} requests after the last one with a secret, there were "
        f"copies of {', '.join(f'{name} ({count})' for name, count in counts.items())}. Nothing is "
        "promised about it."
        for number, counts in after.items()
    ]


def _core(site: Site, pid: int, known: dict[str, str]) -> dict[str, int]:
    """Count the copies of each secret in the memory of a process."""
    subprocess.run(
        ["gcore", "-o", str(site.directory / "core"), str(pid)], capture_output=True, check=True
    )
    path = site.directory / f"core.{pid}"
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as core:
        counts = {name: _count(core, secret.encode()) for name, secret in known.items()}
    path.unlink()
    return counts


def _count(core: mmap.mmap, secret: bytes) -> int:
    number, place = 0, core.find(secret)
    while place >= 0:
        number, place = number + 1, core.find(secret, place + 1)
    return number
