"""Raises an error at one place of a request, which its header ``Trust-Fault`` names.

``line:<file>:<number>`` is a line of the app, ``database:3`` the third statement, ``cache:1``,
``mail:1``, ``view:1`` and ``receiver:1`` likewise. ``count`` raises nothing, and writes down what
there is.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from concurrent.futures import thread
from pathlib import Path
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.db import OperationalError
from django.utils.decorators import sync_and_async_middleware

import frappe_tokens

ROOT = str(Path(frappe_tokens.__file__).parent)
PLACES = Path(os.environ["TRUST_DIR"]) / "places.json"

# Made anew each time: an instance keeps the frames of all that it was raised through.
ERRORS = {
    "database": lambda: OperationalError("server closed the connection unexpectedly"),
    "cache": lambda: ConnectionError("Connection refused"),
    "mail": lambda: OSError("Connection refused"),
}

# It takes tokens out of what DRF has parsed. Its variable has one, and none of its lines can fail.
LEFT_OUT = {"hidden"}


class Fault(RuntimeError):
    """The error of a view, a receiver or a line."""


class Plan:
    """Where to raise during a request. There is one request at a time."""

    def __init__(self, text: str) -> None:
        self.kind, _, self.where = text.partition(":")
        self.counts: Counter[str] = Counter()
        self.lines: dict[str, None] = {}
        self.ends: dict[str, None] = {}

    def reach(self, kind: str) -> None:
        self.counts[kind] += 1
        if self.kind == kind and self.counts[kind] == int(self.where):
            raise ERRORS.get(kind, Fault)()

    @property
    def traces(self) -> bool:
        return self.kind in ("line", "count")

    def trace(self, frame, event, _arg):
        """For ``sys.settrace``."""
        if not frame.f_code.co_filename.startswith(ROOT):
            return None
        if frame.f_code.co_name in LEFT_OUT:
            return None
        place = f"{frame.f_code.co_filename[len(ROOT) + 1 :]}:{frame.f_lineno}"
        if event == "return":
            self.ends[place] = None
        elif event == "line":
            self.lines[place] = None
            if place == self.where:
                raise Fault
        return self.trace

    def write(self) -> None:
        # The last line of a function has all its variables. Not all of them begin a line.
        lines = [place for place in self.ends if place in self.lines]
        PLACES.write_text(json.dumps({"lines": lines, **self.counts}))


def read() -> dict[str, Any]:
    """Return what the last plan that counted has written."""
    found: dict[str, Any] = json.loads(PLACES.read_text())
    return found


plan: Plan | None = None


def reach(kind: str) -> None:
    """Count this place, and raise its error if it is the one."""
    if plan is not None:
        plan.reach(kind)


def follow() -> None:
    """Trace this thread as long as the plan asks for it."""
    if plan is not None and plan.traces:
        sys.settrace(plan.trace)


@sync_and_async_middleware
def faults(get_response):
    """The first middleware."""

    def begin(request) -> None:
        global plan
        if fault := request.META.pop("HTTP_TRUST_FAULT", ""):
            plan = Plan(fault)
            follow()

    def end() -> None:
        global plan
        sys.settrace(None)
        if plan is not None and plan.kind == "count":
            plan.write()
        plan = None

    if iscoroutinefunction(get_response):

        async def middleware(request):
            begin(request)
            try:
                return await get_response(request)
            finally:
                end()

    else:

        def middleware(request):
            begin(request)
            try:
                return get_response(request)
            finally:
                end()

    return middleware


def in_statements(*, connection, **_kwargs) -> None:
    """Receive ``connection_created``."""

    def execute(execute, sql, params, many, context):
        reach("database")
        return execute(sql, params, many, context)

    if not any(wrapper.__module__ == __name__ for wrapper in connection.execute_wrappers):
        connection.execute_wrappers.append(execute)


def in_threads() -> None:
    """Trace the threads of executors too: async views ask the database there."""
    run = thread._WorkItem.run

    def traced(item) -> None:
        follow()
        try:
            run(item)
        finally:
            sys.settrace(None)

    thread._WorkItem.run = traced
