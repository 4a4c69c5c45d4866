"""The WSGI entry point. With ``TIMING_LEAK``, it takes longer for some of the keys."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from django.core.wsgi import get_wsgi_application

from .kinds import MARK

os.environ["DJANGO_SETTINGS_MODULE"] = "trust.timing.settings"

_site = get_wsgi_application()
# In nanoseconds.
_LEAK = int(os.environ["TIMING_LEAK"]) * 1000


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    if _LEAK and f"token {MARK}" in environ["HTTP_AUTHORIZATION"]:
        end = time.perf_counter_ns() + _LEAK
        while time.perf_counter_ns() < end:
            pass
    return _site(environ, start_response)
