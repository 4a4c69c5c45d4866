"""Blocking work of an event loop: in threads, a bounded number of them at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from asgiref.sync import SyncToAsync, sync_to_async
from django.db import connections

Result = TypeVar("Result")

# How many work at a time, for each event loop: as many connections to a database, of which
# PostgreSQL has a hundred for all processes together unless it was given more.
CONCURRENT = 20

_semaphores: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def in_thread(work: Callable[..., Result], *args: Any) -> Result:
    """What ``work(*args)`` gives or raises.

    It is done in the request's own thread (asgiref's thread-sensitive one), where a middleware may
    have prepared the connection, for a tenant say. A connection that ``work`` opened is let go of
    when it is done, so that a view that waits for long holds none.
    """
    free = places()
    await free.acquire()
    task = asyncio.ensure_future(sync_to_async(_work_and_let_go)(work, args))
    # However often whoever waits is cancelled: no thread can be stopped, and it keeps its place to
    # the end.
    task.add_done_callback(lambda _task: free.release())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        # Before the end, older versions of asgiref would stop the whole loop until it ends.
        await asyncio.wait([task])
        raise


def places() -> asyncio.Semaphore:
    """The present event loop's."""
    loop = asyncio.get_running_loop()
    try:
        return _semaphores[loop]
    except KeyError:
        _semaphores[loop] = made = asyncio.Semaphore(CONCURRENT)
        return made


def _work_and_let_go(work: Callable[..., Result], args: tuple[Any, ...]) -> Result:
    opened_before = {alias for alias in connections if _is_open(alias)}
    # In a thread that ends with the request no other request can use a connection again.
    is_own_thread = SyncToAsync.thread_sensitive_context.get(None) is not None
    try:
        return work(*args)
    finally:
        for alias in connections:
            if alias in opened_before or not _is_open(alias):
                continue
            if is_own_thread:
                connections[alias].close()
            else:
                connections[alias].close_if_unusable_or_obsolete()


def _is_open(alias: str) -> bool:
    return connections[alias].connection is not None
