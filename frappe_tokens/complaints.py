"""Reports of what goes wrong at every request, so that a log is not flooded by them."""

from __future__ import annotations

import logging
import math
import time

SECONDS = 60


class Complaint:
    """Logs the present exception, once a minute at the most: the next ones will be the same.

    Args:
        logger: where to.
        text: what goes wrong, and what is done instead.
    """

    def __init__(self, logger: logging.Logger, text: str) -> None:
        self._logger = logger
        self._text = text
        self._made_at = -math.inf

    def __call__(self) -> None:
        now = time.monotonic()
        if now - self._made_at >= SECONDS:
            self._made_at = now
            self._logger.exception(self._text)
