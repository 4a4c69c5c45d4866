"""The file of results: for each database a section that names the machine and versions."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.db import connection

from .report import Table

HEAD = """# Results

Written by `python -m benchmarks`, one section for each database. [README.md](README.md) says what
is measured and how to read it. Microseconds belong to one machine in one run: compare ratios.
"""

PACKAGES = [
    "Django",
    "djangorestframework",
    "django-rest-knox",
    "djangorestframework-api-key",
    "djangorestframework-simplejwt",
    "django-oauth-toolkit",
    "gunicorn",
    "uvicorn",
]
DRIVERS = {"postgresql": "psycopg", "mysql": "mysqlclient"}


def surroundings(database: str) -> list[str]:
    """Date, machine and versions, one per line. Nothing identifies the machine's owner."""
    packages = [*PACKAGES, *filter(None, [DRIVERS.get(connection.vendor)])]
    if "redis" in settings.CACHES:
        packages.append("redis")
    return [
        f"Date: {date.today().isoformat()}",
        f"Machine: {os.cpu_count()} x {_processor()}",
        f"Servers: {', '.join(_servers(database))}",
        f"Python {platform.python_version()}, "
        + ", ".join(f"{package} {_version(package)}" for package in packages),
    ]


def write(path: Path, database: str, tables: Iterable[Table]) -> None:
    """Write the section of ``database`` into the file, replacing the previous one."""
    sections = {}
    if path.exists():
        for section in re.split(r"^(?=## )", path.read_text(), flags=re.MULTILINE)[1:]:
            sections[section.splitlines()[0].removeprefix("## ")] = section.strip() + "\n"
    info = "\n".join(f"- {line}" for line in surroundings(database))
    body = "\n".join(table.markdown() for table in tables)
    sections[database] = f"## {database}\n\n{info}\n\n{body}".strip() + "\n"
    path.write_text("\n".join([HEAD, *(sections[name] for name in sorted(sections))]))


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text()) if cpuinfo.exists() else None
    return named[1] if named else platform.processor() or platform.machine()


def _servers(database: str) -> list[str]:
    numbers = (str(number) for number in connection.get_database_version())
    servers = [f"{database} {'.'.join(numbers)}"]
    if "redis" in settings.CACHES:
        cache: Any = caches["redis"]
        servers.append(f"Redis {cache._cache.get_client().info('server')['redis_version']}")
    if wrk := shutil.which("wrk"):
        # It prints its version, then fails because there is no URL.
        said = subprocess.run([wrk, "--version"], capture_output=True, text=True, check=False)
        servers.append(" ".join((said.stdout + said.stderr).split()[:2]))
    return servers


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
