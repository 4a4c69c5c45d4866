"""Finds reads that would be too early on a replica, which sees a little later what was written.

With ``REPLICA=yes``, this router is in the settings of all tests. It sends everything to the
default database, but fails a test if the app lets a replica answer what it has just written, in the
same call or request.
"""

import copy
import re
import sys
from contextlib import contextmanager
from pathlib import Path

from django.contrib.auth import get_user_model
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.sqlite3.base import DatabaseWrapper

from frappe_tokens.models import ApiKey

APP = str(Path(__file__).resolve().parent.parent / "frappe_tokens")
# Django, and Python itself.
LIBRARIES = re.compile(r"site-packages/django/|/lib/python3\.\d+/(?!site-packages)")
# Functions of Django: the constraint decides after the first, and the second reads no row.
HARMLESS = {"_perform_unique_checks", "_check_bulk_create_options"}
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


class KeysElsewhere:
    """Keys, users and these ``apps`` are in the database ``alias``, others in the default one."""

    def __init__(self, alias, *apps):
        self.alias = alias
        self.apps = {"frappe_tokens", "auth", *apps}

    def db_for_read(self, model, **hints):
        return self.alias if model._meta.app_label in self.apps else None

    db_for_write = db_for_read


class NoReplica(Replicas):
    """Its replica can't be read at all."""

    def db_for_read(self, model, **hints):
        return "missing"


@contextmanager
def lagging_replica(folder, *instances):
    """A replica that has ``instances`` as they are now, and learns of nothing newer.

    It is a file of SQLite in ``folder``, and replaces the connection "replica", which the test's
    mark must name.
    """
    own = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "replica.sqlite3")}
    complete = connections.configure_settings({"default": {}, "replica": own})["replica"]
    before = connections["replica"]
    connections["replica"] = DatabaseWrapper(complete, "replica")
    try:
        with connections["replica"].schema_editor() as editor:
            editor.create_model(get_user_model())
            editor.create_model(ApiKey)
        for instance in map(copy.copy, instances):
            type(instance)._base_manager.using("replica").bulk_create([instance])
        yield
    finally:
        connections["replica"].close()
        connections["replica"] = before


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
        elif not frames and (frame.f_code.co_name in HARMLESS or not LIBRARIES.search(name)):
            return []
        frame = frame.f_back
    return frames
