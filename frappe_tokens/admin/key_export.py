"""The action of lists of keys that exports them, without secrets."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Any, ClassVar

from asgiref.sync import sync_to_async
from django.contrib import admin
from django.core.handlers.asgi import ASGIRequest
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..keys import csv_row
from ..models import SHOWN_FIELDS
from .bases import ModelAdmin

# Rows that are read at a time.
CHUNK = 2000


class KeyExportMixin(ModelAdmin):
    """Adds the action to a ModelAdmin of keys, for all who see them."""

    own_actions: ClassVar[tuple[str, ...]] = ("export_keys",)

    @admin.action(permissions=["view"], description=_("Export selected keys (CSV, no secrets)"))
    def export_keys(self, request: HttpRequest, queryset: QuerySet[Any]) -> StreamingHttpResponse:
        """Send the keys as a file, row by row."""
        lines = self._lines(request, queryset)
        name = f"{self.opts.model_name}-{timezone.now():%Y-%m-%d}.csv"
        return StreamingHttpResponse(
            _in_thread(lines) if isinstance(request, ASGIRequest) else lines,
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    def _lines(self, request: HttpRequest, queryset: QuerySet[Any]) -> Iterator[str]:
        writer = csv.DictWriter(_Echo(), SHOWN_FIELDS)
        yield writer.writeheader()
        # Digests that aren't read can't be shown.
        keys = queryset.select_related("user").defer("secret_digest", "previous_digest")
        for key in keys.iterator(CHUNK):
            if self.has_view_permission(request, key):
                yield writer.writerow(csv_row(key))


async def _in_thread(lines: Iterator[str]) -> AsyncIterator[str]:
    """Yield ``lines`` in parts for ASGI, where Django would first read all of them."""
    while part := await sync_to_async(lambda: "".join(islice(lines, CHUNK)))():
        yield part


class _Echo:
    """A file that returns what is written to it."""

    def write(self, line: str) -> str:
        return line
