"""Reports of what goes wrong at every request, so that a log is not flooded by them."""

from __future__ import annotations

import logging
import math
import sys
import time
from contextlib import suppress

SECONDS = 60


class Complaint:
    """Logs, with the present exception if any, and once a minute at the most: the next ones will
    be the same.

    Args:
        logger: where to.
        text: what goes wrong, and what is done instead. It may have places for arguments, as those
            of ``logging`` have.
    """

    def __init__(self, logger: logging.Logger, text: str) -> None:
        self._logger = logger
        self._text = text
        self._made_at = -math.inf

    def __call__(self, *arguments: object) -> None:
        now = time.monotonic()
        if now - self._made_at >= SECONDS:
            self._made_at = now
            has_exception = sys.exc_info()[0] is not None
            # A handler of the project's may be as broken as what is complained of.
            with suppress(Exception):
                self._logger.error(self._text, *arguments, exc_info=has_exception)
