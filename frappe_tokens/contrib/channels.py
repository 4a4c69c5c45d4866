"""Channels' way in, thin over the one decision. It fits every other ASGI application as well.

::

    from channels.routing import ProtocolTypeRouter, URLRouter
    from frappe_tokens.contrib.channels import TokenAuthMiddleware

    application = ProtocolTypeRouter(
        {
            "http": get_asgi_application(),
            "websocket": TokenAuthMiddleware(URLRouter([path("prices/", Prices.as_asgi())])),
        }
    )
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser
from django.core.handlers.asgi import ASGIRequest
from django.db import connections
from django.http import HttpResponse

from .. import credentials, verification
from ..exceptions import Refused

# Ours, of those that are free for applications (RFC 6455, section 7.4.2), from the HTTP status.
CLOSE_CODE = 4000


class TokenAuthMiddleware:
    """Sets ``scope["user"]`` and ``scope["auth"]`` by the ``Authorization`` header.

    It stands inside of ``AuthMiddlewareStack``, where there is one: without one of our schemes in
    the header, the session's user stays, and else the user is anonymous and ``auth`` None. What is
    refused never reaches the consumer. A WebSocket's handshake is then answered with the refusal's
    status, or closed with 4000 plus that where the server cannot do so.

    Args:
        inner: the application: a router, or what ``as_asgi()`` gave.
        required_scopes: those that a scoped key or an access token has to hold; by default those
            of the consumer that ``as_asgi()`` was called on. A router's routes can be wrapped one
            by one. None close it to these.
        read_only: nothing that comes in by the WebSocket changes anything, so that read-only keys
            may use it. They are refused otherwise.

    Attributes:
        schemes: those that it answers. A subclass may have fewer.
    """

    schemes: tuple[str, ...] = credentials.SCHEMES

    def __init__(
        self, inner: Any, *, required_scopes: Sequence[str] | str = (), read_only: bool = False
    ) -> None:
        self.inner = inner
        consumer = getattr(inner, "consumer_class", None)
        self.required_scopes = required_scopes or getattr(consumer, "required_scopes", ())
        # A handshake is a GET, or by HTTP/2 a CONNECT: what comes after it may be anything.
        self.method = "GET" if read_only else "CONNECT"

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        if scope["type"] not in ("http", "websocket"):
            return await self.inner(scope, receive, send)
        # Its headers and address are read as Django reads them. The query may be any bytes, and
        # decides nothing.
        request = ASGIRequest({"method": self.method, **scope, "query_string": b""}, BytesIO())
        credential = credentials.parse_any(request.META.get("HTTP_AUTHORIZATION"), self.schemes)
        if credential is None:
            anyone = {"user": AnonymousUser(), "auth": None}
            return await self.inner({**anyone, **scope}, receive, send)
        await _close_old_connections()
        try:
            is_websocket = scope["type"] == "websocket"
            info = verification.RequestInfo(request, self, is_websocket=is_websocket)
            key = await verification.averify(credential, info)
        except Refused as refused:
            response = verification.refusal_response(request, refused, credential.scheme)
            return await _answer(scope, receive, send, response)
        return await self.inner({**scope, "user": key.user, "auth": key}, receive, send)


@sync_to_async
def _close_old_connections() -> None:
    """As Django does between requests, which do not end in the thread that Channels works in."""
    for connection in connections.all(initialized_only=True):
        # A test's, which it would take for one that somebody has left so.
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()


async def _answer(scope: dict[str, Any], receive: Any, send: Any, response: HttpResponse) -> None:
    kind = "http.response"
    if scope["type"] == "websocket":
        kind = "websocket.http.response"
        await receive()
        if kind not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": CLOSE_CODE + response.status_code})
            return
    response["Content-Length"] = str(len(response.content))
    headers = [(name.encode(), value.encode("latin-1")) for name, value in response.items()]
    await send({"type": f"{kind}.start", "status": response.status_code, "headers": headers})
    await send({"type": f"{kind}.body", "body": response.content})
