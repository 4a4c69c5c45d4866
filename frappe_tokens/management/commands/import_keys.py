"""``manage.py import_keys FILE.csv``: API keys and secrets from a Frappe site or another app."""

from __future__ import annotations

import codecs
import csv
import io
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, BinaryIO

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.views.decorators.debug import sensitive_variables

from ...conf import conf
from ...crypto import Secret
from ...keys import ImportedPair, Problem, import_keys
from ..progress import progress_bar
from ..selection import counted

COLUMNS = ["api_key", "api_secret", "user"]

# Far longer than any valid line. Other files may have no line breaks.
LINE_MAX_LENGTH = 10_000  # bytes

# Bytes that aren't UTF-8 become surrogates, which UTF-8 can't have.
_NO_TEXT = re.compile("[\0\udc80-\udcff]")


class Command(BaseCommand):
    help = (
        "Import API keys with their secrets, all of them or none. The file is CSV in UTF-8, with a "
        "header: user, api_key, api_secret and, optionally, name. Delete the file afterwards, "
        "because it contains the secrets."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE.csv", help="The file, or - for standard input.")
        parser.add_argument("--dry-run", action="store_true", help="Check without importing.")

    @sensitive_variables()
    def handle(self, *args: object, **options: Any) -> None:
        path, dry_run = options["file"], options["dry_run"]
        with ExitStack() as stack:
            try:
                opened = sys.stdin.buffer if path == "-" else stack.enter_context(open(path, "rb"))
                # A pipe can only be read once, and secrets must not be written to a temporary file.
                file = opened if opened.seekable() else io.BytesIO(opened.read())
                total = sum(1 for _ in iter(partial(file.readline, LINE_MAX_LENGTH), b""))
                file.seek(0)
                if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
                    file.seek(0)
            except OSError as error:
                raise CommandError(f"{path!r} can't be read: {error.strerror}.") from None
            show = stack.enter_context(progress_bar(self.stderr, total, options["verbosity"]))
            try:
                imported = import_keys(_rows(file), dry_run=dry_run, show_progress=show)
            except ValidationError as error:
                raise CommandError("\n".join([*error.messages, "Nothing was imported."])) from None
        keys = f"{counted(imported.keys, 'key')} for {counted(imported.users, 'user')}."
        self.stdout.write(
            f"Checked {keys} Nothing was imported." if dry_run else f"Imported {keys}"
        )
        if imported.short and not conf.PEPPERS:
            self.stderr.write(
                f"{imported.short} of the secrets are short. Weak imported secrets are only safe "
                "with a pepper: set FRAPPE_TOKENS['PEPPERS']."
            )


def _rows(file: BinaryIO) -> Iterator[ImportedPair | Problem]:
    """Yield the pairs in a file, and a problem for each invalid line."""
    reader = csv.reader(iter(partial(_read_line, file), ""), strict=True)
    columns: list[str] = []
    line = 1
    try:
        for fields in map(_hidden, reader):
            if fields and not columns:
                columns = [field.strip().lower() for field in fields]
                if sorted(set(columns) - {"name"}) != COLUMNS or len(set(columns)) < len(columns):
                    # Without a header, the first line contains a secret, so it isn't shown.
                    yield Problem(
                        line,
                        "The header must name the columns user, api_key, api_secret and, if you "
                        "like, name, each once and separated by commas.",
                    )
                    return
            elif fields and len(fields) != len(columns):
                yield Problem(
                    line, f"There are {len(fields)} fields, but {len(columns)} in the header."
                )
            elif fields:
                values = dict(zip(columns, fields, strict=True))
                secret = values.pop("api_secret")
                yield ImportedPair(line, api_secret=secret, **{k: str(values[k]) for k in values})
            line = reader.line_num + 1
    except csv.Error as error:
        # The error doesn't contain the line.
        yield Problem(line, f"The line is not valid CSV: {error}.")


@sensitive_variables()
def _read_line(file: BinaryIO) -> Secret:
    # Never bytes in a variable: reports of errors show those.
    line = Secret(file.readline(LINE_MAX_LENGTH + 1).decode("utf-8", "surrogateescape"))
    if len(line.encode("utf-8", "surrogateescape")) > LINE_MAX_LENGTH:
        raise csv.Error(f"it is longer than {LINE_MAX_LENGTH:,} bytes")
    if _NO_TEXT.search(line):
        raise csv.Error("it is not text in UTF-8")
    return line


@sensitive_variables()
def _hidden(fields: list[str]) -> list[Secret]:
    return [Secret(field) for field in fields]
