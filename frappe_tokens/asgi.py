"""Support for ASGI servers that Django doesn't have."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from django.db import connections

logger = logging.getLogger(__name__)

Application = Callable[[Any, Any, Any], Awaitable[None]]


def close_at_shutdown(application: Application) -> Application:
    """Close the request log when the server shuts down.

    Django ignores the server's lifespan messages
    (https://asgi.readthedocs.io/en/latest/specs/lifespan.html). uvicorn sends one after the last
    response, but Python's exit handlers don't run there, because it ends by the signal it got.

    Args:
        application: the result of ``get_asgi_application()``.
    """

    async def with_lifespan(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await application(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.to_thread(_close)
        await send({"type": "lifespan.shutdown.complete"})

    return with_lifespan


def _close() -> None:
    # A project's asgi.py imports this module before Django is set up.
    from . import request_log

    try:
        request_log.close()
    except Exception:
        logger.exception("The request log couldn't be written completely.")
    finally:
        connections.close_all()
