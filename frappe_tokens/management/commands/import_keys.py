"""``manage.py import_keys FILE.csv``: API keys and secrets from a Frappe site or another app."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, BinaryIO

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.views.decorators.debug import sensitive_variables

from ...conf import conf
from ...crypto import Secret
from ...keys import BATCH_SIZE, ImportedPair, Problem, import_keys
from ..progress import progress_bar

COLUMNS = ("user", "api_key", "api_secret")
OPTIONAL_COLUMNS = ("name",)

# Far longer than any valid line. Other files may have no lines at all.
LINE_MAX_LENGTH = 10_000  # bytes

Rows = Generator[ImportedPair | Problem, None, None]


class Command(BaseCommand):
    help = (
        "Import API keys with their secrets, all of them or none. The file is CSV in UTF-8, with a "
        "header: user, api_key, api_secret and, optionally, name. Delete the file afterwards, "
        "because it contains the secrets."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE.csv", help="- for standard input")
        parser.add_argument("--dry-run", action="store_true", help="check without importing")

    @sensitive_variables()
    def handle(self, *args: object, **options: Any) -> None:
        dry_run = options["dry_run"]
        with _opened(options["file"]) as opened:
            # A pipe can be read only once, and its content must not be written to the disk.
            file = opened if opened.seekable() else io.BytesIO(opened.read())
            read = partial(self._read, file, _count_lines(file), options["verbosity"])
            try:
                imported = import_keys(read, dry_run=dry_run)
            except ValidationError as error:
                raise CommandError("\n".join([*error.messages, "Nothing was imported."])) from None
        keys = f"{imported.keys} key{'' if imported.keys == 1 else 's'}"
        users = f"{imported.users} user{'' if imported.users == 1 else 's'}"
        if dry_run:
            self.stdout.write(f"Checked {keys} for {users}. Nothing was imported.")
        else:
            self.stdout.write(f"Imported {keys} for {users}.")
        if imported.short and not conf.PEPPERS:
            self.stderr.write(
                f"{imported.short} of the secrets are short. Weak imported secrets are only safe "
                "with a pepper: set FRAPPE_TOKENS['PEPPERS']."
            )

    def _read(self, file: BinaryIO, total: int, verbosity: int) -> Rows:
        file.seek(0)
        lines = _Lines(file)
        shown = 0
        with progress_bar(self.stderr, total, verbosity) as advance:
            for row in _rows(lines):
                yield row
                if lines.number - shown >= BATCH_SIZE:
                    advance(lines.number - shown)
                    shown = lines.number
            advance(lines.number - shown)


def _opened(path: str) -> AbstractContextManager[BinaryIO]:
    if path == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return open(path, "rb")
    except OSError as error:
        raise CommandError(f"{path!r} can't be read: {error.strerror}.") from None


def _count_lines(file: BinaryIO) -> int:
    file.seek(0)
    count, last = 0, b"\n"
    while chunk := file.read(65_536):
        count += chunk.count(b"\n")
        last = chunk[-1:]
    return count + (last != b"\n")


def _rows(lines: _Lines) -> Rows:
    """Yield the pairs in a file, and what is wrong with other lines."""
    records = _records(lines)
    columns: list[str] = []
    for line, fields in records:
        if not columns:
            columns = [field.strip().lower() for field in fields]
            if problem := _problem_of(columns):
                yield Problem(line, problem)
                return
        elif len(fields) != len(columns):
            yield Problem(
                line, f"The number of fields is {len(fields)}, and in the header {len(columns)}."
            )
        else:
            values = dict(zip(columns, fields, strict=True))
            yield ImportedPair(
                line,
                str(values["user"]),
                str(values["api_key"]),
                values["api_secret"],
                str(values.get("name", "")),
            )
    if lines.problem is not None:
        yield lines.problem


def _problem_of(columns: list[str]) -> str:
    """Return what is wrong with a header, or ""."""
    if not set(COLUMNS) <= set(columns):
        # Without a header, the first line contains a secret, so it isn't shown.
        return f"The header must name the columns {', '.join(COLUMNS)}, separated by commas."
    if len(set(columns)) < len(columns):
        return "The header names a column twice."
    if unknown := sorted(set(columns) - {*COLUMNS, *OPTIONAL_COLUMNS}):
        names = ", ".join(repr(name) for name in unknown)
        return f"The header names {names}, which can't be imported. Remove the unknown columns."
    return ""


class _Lines:
    """The lines of a file, up to the first one that isn't text: ``problem`` says why."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.number = 0
        self.problem: Problem | None = None

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> Secret:
        text, why = self._decoded(self.file.readline(LINE_MAX_LENGTH + 1))
        if why:
            self.problem = Problem(self.number, why)
        if why or not text:
            raise StopIteration
        return text

    @sensitive_variables()
    def _decoded(self, line: bytes) -> tuple[Secret, str]:
        self.number += bool(line)
        if len(line) > LINE_MAX_LENGTH:
            return Secret(), f"The line is longer than {LINE_MAX_LENGTH:,} bytes. Is this CSV?"
        try:
            text = Secret(line.decode())
        except UnicodeDecodeError:
            text = Secret("\0")
        if "\0" in text:
            return Secret(), "The line is not text in UTF-8. Save the file as CSV in UTF-8."
        # A byte order mark.
        return Secret(text.removeprefix("\ufeff")) if self.number == 1 else text, ""


def _records(lines: _Lines) -> Iterator[tuple[int, list[Secret]]]:
    """Yield each record's first line and its fields."""
    reader = csv.reader(lines, strict=True)
    line = 1
    try:
        for fields in map(_hidden, reader):
            if fields:
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        # The error doesn't contain the line.
        lines.problem = lines.problem or Problem(line, f"The line is not valid CSV: {error}.")


@sensitive_variables()
def _hidden(fields: list[str]) -> list[Secret]:
    return [Secret(field) for field in fields]
