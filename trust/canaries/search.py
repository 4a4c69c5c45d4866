"""Looks for secrets in everything that is told, stored or shown."""

from __future__ import annotations

import os
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import redis
from django.db import connection

from .kinds import found_in
from .receiver import Receiver

FILES = ("log", "variables", "mails", "server", "commands")

# What was sent as a form, on Django's page about an error and in its mail.
_FORM = re.compile(
    r'<h3 id="post-info">.*?<h3 id="files-info">|^POST:.*?^(?:FILES|COOKIES):',
    re.DOTALL | re.MULTILINE,
)


@dataclass
class Findings:
    """How much was looked through, and what was found, by place."""

    tried: Counter[str] = field(default_factory=Counter)
    found: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)

    def look(self, place: str, text: str, way: str) -> None:
        """Search a text. What is known to be in some of them has a place of its own."""
        if place in ("pages", "mails"):
            forms, text = "\n".join(_FORM.findall(text)), _FORM.sub("", text)
            self._look("forms", forms, way)
        elif place == "variables" and "OAuth" in way:
            place = "variables of the toolkit"
        self._look(place, text, way)

    def _look(self, place: str, text: str, way: str) -> None:
        self.tried[place] += 1
        for secret, before in found_in(text):
            found = place
            # Codes and refresh tokens work once.
            if place in ("tables", "held") and secret.startswith(("canaryAC", "canaryRT")):
                found = f"known in {place}"
            # With DEBUG, Django logs the statements of the table with codes.
            if place == "log" and "DEBUG=1" in way and secret.startswith("canaryAC"):
                found = f"known in {place}"
            self.found.setdefault(found, []).append((way, secret, before))

    def number(self, *places: str) -> tuple[int, int]:
        """Return how many texts were searched there, and how many secrets were found."""
        found = sum(len(self.found.get(place, ())) for place in places)
        return sum(self.tried[place] for place in places), found


@dataclass
class Outlets:
    """Everything that tells of errors. Each text is read once."""

    directory: Path
    receiver: Receiver
    _read: Counter[str] = field(default_factory=Counter)

    def new(self) -> Iterator[tuple[str, str]]:
        for name in FILES:
            path = self.directory / name
            if path.exists():
                with path.open(errors="replace") as file:
                    file.seek(self._read[name])
                    text = file.read()
                    self._read[name] = file.tell()
                yield name, text
        for event in self.receiver.events:
            yield "Sentry", event
        for span in self.receiver.spans:
            yield "OpenTelemetry", span
        self.receiver.events.clear()
        self.receiver.spans.clear()


def rows() -> Iterator[tuple[str, str]]:
    """Yield the name of every table with each of its rows, as text."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            for row in cursor.fetchall():
                yield table, "\n".join(map(str, row))


def cached(directory: Path) -> Iterator[str]:
    """Yield the entries of the cache, by its keys, in Redis or in files."""
    if url := os.environ.get("REDIS_URL"):
        with redis.Redis.from_url(url) as client:
            for key in client.scan_iter(f"{os.environ['TRUST_PREFIX']}:*"):
                yield f"{key.decode()} {(client.get(key) or b'').decode('latin-1')}"
                client.delete(key)
    for path in (directory / "cache").glob("*"):
        content = path.read_bytes()
        # Behind a pickle of the time when it ends.
        yield zlib.decompress(content[content.index(b"x\x9c") :]).decode("latin-1")
