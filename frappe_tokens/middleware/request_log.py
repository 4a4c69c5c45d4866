"""Puts requests on record."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone

from ..logs import RateLimitedLogger
from ..request_log import current_sink, entry_for
from ..verification import run_in_thread

logger = logging.getLogger(__name__)

# nginx's code for a client that went away before the answer.
CLIENT_CLOSED_REQUEST = 499

Answer = HttpResponseBase | Awaitable[HttpResponseBase]


class RequestLogMiddleware:
    """Hands every request that had an ``Authorization`` header to the request log.

    Put it first in ``MIDDLEWARE``, so that it sees the status that leaves and the whole time. The
    log is written before the answer begins to leave, that of a streamed answer too. For sync and
    async alike.

    Raises:
        ImproperlyConfigured: when the server starts, if ``REQUEST_LOG`` names no log.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Answer]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
        self._log_error = RateLimitedLogger(logger, "A request can't be logged.")
        current_sink()

    def __call__(self, request: HttpRequest) -> Answer:
        if not request.META.get("HTTP_AUTHORIZATION"):
            return self.get_response(request)
        if self._is_async:
            return self._acall(request)
        log = self._watch(request)
        try:
            response = cast(HttpResponseBase, self.get_response(request))
        except Exception:
            # Only with DEBUG_PROPAGATE_EXCEPTIONS; otherwise Django has made it an answer.
            log(500)
            raise
        log(response.status_code)
        return response

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        log = self._watch(request)
        try:
            response = await cast(Awaitable[HttpResponseBase], self.get_response(request))
        except asyncio.CancelledError:
            await _alog(log, CLIENT_CLOSED_REQUEST)
            raise
        except Exception:
            await _alog(log, 500)
            raise
        await _alog(log, response.status_code)
        return response

    def _watch(self, request: HttpRequest) -> Callable[[int], None]:
        """Begin to take the time; what is given back logs the status of the answer."""
        at, began = timezone.now(), time.perf_counter()

        def log(status: int) -> None:
            try:
                current_sink().write(entry_for(request, at, time.perf_counter() - began, status))
            except Exception:
                self._log_error()

        return log


async def _alog(log: Callable[[int], None], status: int) -> None:
    # Where the client has gone, a view may go on in the request's thread, and may not even have
    # been authenticated yet: the log waits in line behind it.
    if status != CLIENT_CLOSED_REQUEST and not _blocks():
        log(status)
        return
    writing = asyncio.ensure_future(run_in_thread(log, status))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        # The client has gone. What is still on its way to the thread would be forgotten.
        await writing
        raise


def _blocks() -> bool:
    try:
        return current_sink().blocks
    except ImproperlyConfigured:
        return False  # there is none, and ``log`` says so
