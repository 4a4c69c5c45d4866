"""Authentication for Channels. It works for every other ASGI application as well."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from io import BytesIO
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse

from .. import credentials, verification
from ..exceptions import Refused

# Plus the HTTP status. These codes are free for applications (RFC 6455, section 7.4.2).
CLOSE_CODE = 4000

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, object]]]
Send = Callable[[dict[str, object]], Awaitable[None]]


class TokenAuthMiddleware:
    """Sets ``scope["user"]`` and ``scope["auth"]`` from the ``Authorization`` header.

    ``path("prices/", TokenAuthMiddleware(Prices.as_asgi()))``, or around a ``URLRouter``. Put it
    inside ``AuthMiddlewareStack``, if you use that. If the header has another scheme or none, the
    user is the session's, else anonymous, and ``auth`` is None. The handshake of a refused
    WebSocket gets a response with the refusal's status. If the server can't send one, it is closed
    with 4000 plus the status.

    Args:
        inner: the application: a router, or the result of ``as_asgi()``.
        required_scopes: what a scoped key or an access token needs, by default the consumer's
            ``required_scopes``. If there are none, it is refused. Wrap each route of a router to
            give it its own.
        read_only: whether read-only keys may use it, because no message changes anything.

    Attributes:
        schemes: the schemes that it accepts. A subclass may have fewer.
    """

    schemes: tuple[str, ...] = credentials.SCHEMES

    def __init__(
        self,
        inner: Callable[[Scope, Receive, Send], Awaitable[object]],
        *,
        required_scopes: Sequence[str] | str = (),
        read_only: bool = False,
    ) -> None:
        self.inner = inner
        consumer = getattr(inner, "consumer_class", None)
        self.required_scopes = required_scopes or getattr(consumer, "required_scopes", ())
        # The handshake is a GET (with HTTP/2 a CONNECT), but later messages may change anything.
        self.method = "GET" if read_only else "CONNECT"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> object:
        if scope["type"] not in ("http", "websocket"):
            return await self.inner(scope, receive, send)
        # Reads headers and address as Django does. The query string may be any bytes.
        request = ASGIRequest({"method": self.method, **scope, "query_string": b""}, BytesIO())
        credential = credentials.parse(request.META.get("HTTP_AUTHORIZATION"), *self.schemes)
        if credential is None:
            return await self.inner({"user": AnonymousUser(), "auth": None, **scope}, receive, send)
        is_websocket = scope["type"] == "websocket"
        info = verification.RequestInfo(request, self, is_websocket=is_websocket)
        try:
            key = await verification.averify(credential, info)
        except Refused as refused:
            response = verification.refusal_response(request, refused, credential.scheme)
            await _send_response(scope, receive, send, response)
            return None
        return await self.inner({**scope, "user": key.user, "auth": key}, receive, send)


async def _send_response(
    scope: Scope, receive: Receive, send: Send, response: HttpResponse
) -> None:
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
