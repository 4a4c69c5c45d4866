"""Many entries at once, some of which the table may refuse, and where they were to go."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, connections, router

from ..models import OTHER, ApiRequestLog
from . import insertion
from .entries import Entry

# They blame what is written; all others may as well blame the database, or the way to it.
_OF_A_ROW = (DataError, IntegrityError, ValidationError, ValueError, TypeError, OverflowError)

Database = tuple[str, object]


def write(
    entries: Sequence[Entry],
    done: Callable[[int, bool], None],
    *,
    commit: bool,
    is_last_try: bool = False,
) -> None:
    """Write ``entries`` without those that the table refuses, which are found by halving.

    A row is refused when it fails alone, and twice, while the table takes another one. Where it
    takes none, that costs two INSERTs.

    Args:
        entries: at least one.
        done: called with how many of them, in their order, are dealt with, and whether they are
            written. Of those that are not it hears one by one, with the exception at hand.
        commit: as of :func:`insertion.insert`.
        is_last_try: of one entry that has failed already.

    Raises:
        Exception: what the database says of the first one that is not dealt with; the table
            cannot be written.
    """
    try:
        insertion.insert(entries, commit=commit)
    except Exception as error:
        is_of_a_row = isinstance(error, _OF_A_ROW)
        if not is_of_a_row and not _takes_another(entries[0]):
            raise
        if len(entries) == 1 and (is_of_a_row or is_last_try):
            done(1, False)
            return
    else:
        done(len(entries), True)
        return
    if len(entries) == 1:
        write(entries, done, commit=commit, is_last_try=True)
    else:
        middle = len(entries) // 2
        write(entries[:middle], done, commit=commit)
        write(entries[middle:], done, commit=commit)


def _takes_another(entry: Entry) -> bool:
    """Whether the table takes a row of the same time with nothing in it that a client sent.

    Another one that waits would not tell: a client may have sent them all.
    """
    try:
        insertion.try_out(Entry(entry.at, None, "", "", "GET", "/", 200, 0, None, "", OTHER))
    except Exception:
        return False
    return True


def present_database() -> Database:
    """Which one the log is in now, by its alias and its name."""
    alias = router.db_for_write(ApiRequestLog)
    return alias, connections.settings[alias]["NAME"]


def is_there(database: Database) -> bool:
    """Whether the alias still stands for that database.

    It does not after a run of tests: Django then puts the name of the project's own back, and
    what the tests have left would be written there.
    """
    alias, name = database
    return bool(connections.settings[alias]["NAME"] == name)


def is_reached(database: Database) -> bool:
    """Connect to it where this thread is not yet; whether the alias stands for it still.

    If so, what another thread does with the name from now on comes too late to matter.
    """
    connections[database[0]].ensure_connection()
    return is_there(database)
