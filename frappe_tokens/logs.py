"""A logger for errors that repeat with every request."""

from __future__ import annotations

import logging
import math
import sys
import time
from contextlib import suppress
from weakref import WeakSet

from django.http import HttpRequest

SECONDS = 60


class RateLimitedLogger:
    """Logs an error, with the current exception if any, at most once a minute.

    Args:
        message: what is wrong, and what is done instead. It may have placeholders for arguments.
    """

    def __init__(self, logger: logging.Logger, message: str) -> None:
        self._logger = logger
        self._message = message
        self._logged_at = -math.inf
        _all.add(self)

    def __call__(self, *arguments: object, request: HttpRequest | None = None) -> None:
        """Log it. In mails to ADMINS, Django's filter of ``request`` hides what it is to hide."""
        now = time.monotonic()
        if now - self._logged_at >= SECONDS:
            self._logged_at = now
            has_exception = sys.exc_info()[0] is not None
            # A logging handler of the project may fail.
            with suppress(Exception):
                self._logger.error(
                    self._message,
                    *arguments,
                    exc_info=has_exception,
                    extra={"request": request} if request is not None else None,
                )


_all: WeakSet[RateLimitedLogger] = WeakSet()


def reset() -> None:
    """Forget what was logged. For tests."""
    for limited in _all:
        limited._logged_at = -math.inf
