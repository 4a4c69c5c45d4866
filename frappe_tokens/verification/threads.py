"""Runs blocking code for an event loop in a limited number of threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from asgiref.sync import SyncToAsync, sync_to_async
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

Result = TypeVar("Result")

# Threads per event loop. Each may hold a connection to the database, and PostgreSQL by default
# accepts a hundred from all processes together.
CONCURRENT = 20

_semaphores: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def run_in_thread(work: Callable[..., Result], *args: Any) -> Result:
    """Return ``work(*args)``, run in the thread of the request.

    There, a middleware may have prepared the connection, for a tenant for example. A connection
    that ``work`` opened is closed afterwards unless it's persistent, so that a slow view doesn't
    hold one. Outside of Django's requests, as with Channels, a broken or old one is closed before.
    """
    free = semaphore()
    await free.acquire()
    task = asyncio.ensure_future(_work_and_close(work, args))
    # Threads can't be stopped: one counts until it ends, even if nothing awaits it any more.
    task.add_done_callback(lambda _task: free.release())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        # Otherwise, older versions of asgiref would block the event loop until the thread ends.
        await asyncio.wait([task])
        raise


def semaphore() -> asyncio.Semaphore:
    return _semaphores.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(CONCURRENT))


@sync_to_async
def _work_and_close(work: Callable[..., Result], args: tuple[Any, ...]) -> Result:
    opened_before = set(_open_connections())
    # No other request can use the connections of a thread that ends with the request.
    is_own_thread = SyncToAsync.thread_sensitive_context.get(None) is not None
    if not is_own_thread:
        for connection in opened_before:
            # Django does it between requests. A test's connection is in a transaction.
            if not connection.in_atomic_block:
                connection.close_if_unusable_or_obsolete()
    try:
        return work(*args)
    finally:
        for connection in set(_open_connections()) - opened_before:
            if is_own_thread:
                connection.close()
            else:
                connection.close_if_unusable_or_obsolete()


def _open_connections() -> Iterator[BaseDatabaseWrapper]:
    return (each for each in connections.all(initialized_only=True) if each.connection is not None)
