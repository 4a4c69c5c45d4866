"""Finds reads that would be too early on a replica, which sees a little later what was written.

With ``REPLICA=yes``, this router is in the settings of all tests. It sends everything to the
default database, but fails a test if the app lets a replica answer what it has just written, in the
same call or request.
"""

import re
import sys
from pathlib import Path

from django.db import DEFAULT_DB_ALIAS

APP = str(Path(__file__).resolve().parent.parent / "frappe_tokens")
# Django, and Python itself.
LIBRARIES = re.compile(r"site-packages/django/|/lib/python3\.\d+/(?!site-packages)")
WRITTEN = re.compile(r"(?:INSERT INTO|UPDATE|DELETE FROM)\s+[\"`]?(\w+)", re.IGNORECASE)

# The last use of a key may be seen late, and SQLite's lock is an UPDATE of no row.
CHANGE_NOTHING_THAT_IS_READ = {"write", "_lockable"}

# The outermost frames of the app in which it wrote, with the tables.
_written = []
too_early = []


def reset():
    _written.clear()
    too_early.clear()


def watch(execute, sql, params, many, context):
    result = execute(sql, params, many, context)
    written, frames = WRITTEN.search(sql), _frames_of_the_app()
    if written and frames and frames[0].f_code.co_name not in CHANGE_NOTHING_THAT_IS_READ:
        _written.append((frames[-1], written[1]))
    return result


class LateReplica:
    def db_for_read(self, model, **hints):
        frames = _frames_of_the_app()
        table = model._meta.db_table
        if frames and any(frame is frames[-1] and name == table for frame, name in _written):
            code, line = frames[0].f_code, frames[0].f_lineno
            too_early.append(f"{code.co_filename}:{line} reads {model.__name__}")
        return DEFAULT_DB_ALIAS


class Replicas:
    """Reads from a replica, and writes to the primary database."""

    def db_for_read(self, model, **hints):
        return "replica"

    def db_for_write(self, model, **hints):
        return DEFAULT_DB_ALIAS

    def allow_relation(self, one, other, **hints):
        return True


def _frames_of_the_app():
    """Return its frames, the innermost first; none if anything but Django was called from there."""
    frames = []
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(APP):
            frames.append(frame)
            if len(frames) == 1 and name.startswith(f"{APP}/middleware/"):
                return []  # it only passes the request on
        elif not frames and (
            frame.f_code.co_name == "_perform_unique_checks"  # the constraint decides
            or not LIBRARIES.search(name)
        ):
            return []
        frame = frame.f_back
    return frames
