"""Records requests."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.deprecation import MiddlewareMixin

from ..logs import RateLimitedLogger
from ..request_log import current_sink, record
from ..verification import run_in_thread
from ..waiting import MustWait

logger = logging.getLogger(__name__)

# nginx's code for a client that left before the response.
CLIENT_CLOSED_REQUEST = 499


class RequestLogMiddleware(MiddlewareMixin):
    """Passes every request with an ``Authorization`` header to the request log.

    Put it first in ``MIDDLEWARE``, so that it sees the final status and the whole duration. The log
    is written before the response is sent, even a streaming one. Works for sync and async.

    Raises:
        ImproperlyConfigured: when the server starts, if ``REQUEST_LOG`` is invalid.
    """

    get_response: Any

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        self._log_error = RateLimitedLogger(logger, "A request can't be logged.")
        current_sink()

    def __call__(self, request: HttpRequest) -> Any:
        if not request.META.get("HTTP_AUTHORIZATION"):
            return self.get_response(request)
        if self.async_mode:
            return self.__acall__(request)
        log = self._watch(request)
        try:
            response = self.get_response(request)
        except Exception:
            # Only with DEBUG_PROPAGATE_EXCEPTIONS. Otherwise, Django returns a response.
            log(500)
            raise
        log(response.status_code)
        return response

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        log = self._watch(request)
        try:
            response: HttpResponseBase = await self.get_response(request)
        except asyncio.CancelledError:
            await _alog(log, CLIENT_CLOSED_REQUEST)
            raise
        except Exception:
            await _alog(log, 500)
            raise
        await _alog(log, response.status_code)
        return response

    def _watch(self, request: HttpRequest) -> Callable[..., None]:
        """Start the clock, and return what logs the request with the status of the response."""
        at, started = timezone.now(), time.perf_counter()

        def log(status: int, *, may_wait: bool = True) -> None:
            try:
                record(request, at, time.perf_counter() - started, status, may_wait=may_wait)
            except MustWait:
                raise
            except Exception:
                self._log_error()

        return log


async def _alog(log: Callable[..., None], status: int) -> None:
    # If the client has left, the request's thread may still run the view, or authenticate. Wait for
    # that.
    if status != CLIENT_CLOSED_REQUEST:
        with suppress(MustWait):
            log(status, may_wait=False)
            return
    writing = asyncio.ensure_future(run_in_thread(log, status))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        # The client has left. Without waiting, an entry may be lost.
        await writing
        raise
