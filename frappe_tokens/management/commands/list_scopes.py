"""``manage.py list_scopes``: which views require which scopes."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.admindocs.views import simplify_regex
from django.core.management.base import BaseCommand, CommandParser
from django.urls import get_resolver

from ...conf import conf
from ...verification import routed_views
from ..selection import printable

COLUMNS = ("scope", "methods", "path", "view")


class Command(BaseCommand):
    help = "List the scopes, and the views that require them from API keys with scopes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--format",
            choices=["json", "text"],
            default="text",
            help="json: an object per line. Default: text, a table.",
        )

    def handle(self, *args: object, **options: Any) -> None:
        rows = _rows()
        if options["format"] == "json":
            for row in rows:
                self.stdout.write(json.dumps(dict(zip(COLUMNS, row, strict=True))))
            return
        declared = conf.SCOPES
        for scope, description in (declared or {}).items():
            self.stdout.write(f"{scope}: {description}")
        if not rows:
            self.stderr.write("No view requires a scope.")
            return
        if declared:
            self.stdout.write("")
        lines = [COLUMNS, *((scope, " ".join(methods), *rest) for scope, methods, *rest in rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            self.stdout.write(printable("  ".join(map(str.ljust, line, widths)).rstrip()))
        unused = [scope for scope in declared or () if scope not in {row[0] for row in rows}]
        if unused:
            self.stderr.write(f"No view requires: {', '.join(unused)}.")


def _rows() -> list[tuple[str, list[str], str, str]]:
    """Return a row for each scope and view, sorted by scope and path."""
    methods: dict[tuple[str, str, str], list[str]] = {}
    for view in routed_views(get_resolver()):
        path = simplify_regex(view.route).replace("\\", "")
        for name, method, scopes in view.requirements():
            for scope in scopes:
                found = methods.setdefault((scope, path, name), [])
                # Django Ninja has a route for each operation, with a view of all of them.
                if (shown := method or "all") not in found:
                    found.append(shown)
    return sorted(
        ((scope, found, path, name) for (scope, path, name), found in methods.items()),
        key=lambda row: (row[0], row[2]),
    )
