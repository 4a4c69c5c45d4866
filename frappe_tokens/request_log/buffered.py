"""``REQUEST_LOG = "buffered"``: batches go into the table, each with one INSERT."""

from __future__ import annotations

from collections.abc import Sequence
from threading import current_thread

from django.db import close_old_connections, connections
from django.utils import timezone

from . import insertion
from .batches import BATCH, BatchSink
from .entries import Entry


class BufferedSink(BatchSink):
    """Writes into the table, in the transaction of who calls ``flush()``, if there is one."""

    def send(self, entries: Sequence[Entry]) -> None:
        insertion.insert(entries, commit=current_thread() is self._thread)

    def disconnect(self) -> None:
        connections.close_all()

    def _close_old_connections(self) -> None:
        close_old_connections()

    def _batch_size(self) -> int:
        return min(super()._batch_size(), insertion.rows_max())

    def _sent(self, entries: Sequence[Entry]) -> bool:
        """Write ``entries``. Return False to try fewer of them.

        Bisection finds rows that the table refuses. A row is lost if it fails alone, twice, while
        the table accepts another row.
        """
        try:
            self.send(entries)
        except Exception:
            # The table may be partitioned, and without a partition for the row's time.
            if not any(map(insertion.can_insert, (entries[0].at, timezone.now()))):
                raise
            if self._size:
                self._size = min(self._size, len(entries)) // 2
                return False
            self.lose(entries[0].number, "doesn't accept a row")
        self._size = min(max(2 * self._size, 1), BATCH)
        return True
