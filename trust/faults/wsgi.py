"""WSGI entry point of the site. With ``TRUST_CLOCK``, a file has the offset of its clock (s)."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import time_machine
from django.core.wsgi import get_wsgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "trust.faults.settings"

django_application = get_wsgi_application()

_lock = Lock()
_offset = 0.0
_travel: Any = None


def _set_clock(offset: float) -> None:
    """Set the clock of this process. Monotonic clocks go on, as where a machine's clock is set."""
    global _offset, _travel
    with _lock:
        if offset == _offset:
            return
        if _travel is not None:
            _travel.stop()
        _travel = time_machine.travel(time.time() + offset, tick=True)
        _travel.start()
        _offset = offset


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    if clock := os.environ.get("TRUST_CLOCK"):
        _set_clock(float(Path(clock).read_text() or _offset))
    return django_application(environ, start_response)
