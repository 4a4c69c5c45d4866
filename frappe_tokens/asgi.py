"""For ASGI servers: what Django's entry point leaves out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from django.db import connections

logger = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]


def close_at_shutdown(application: Application) -> Application:
    """``application``, and an answer to the server's lifespan messages, which Django has not.

    uvicorn ends by the signal that stops it, so that nothing is run at the exit; but it says
    before that it is about to, after the last answer.

    Args:
        application: what ``get_asgi_application()`` gives.

    https://asgi.readthedocs.io/en/latest/specs/lifespan.html
    """

    async def with_lifespan(scope: Message, receive: Receive, send: Send) -> None:
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
    # Django is not set up yet when a project's asgi.py imports this.
    from .request_log import current_sink

    try:
        current_sink().close()
    except Exception:
        logger.exception("The request log could not be written to its end.")
    finally:
        connections.close_all()
