from __future__ import annotations

import json
from typing import Any

from asgiref.sync import async_to_sync
from django.http import HttpResponse
from httpx2 import ASGITransport, AsyncClient
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from rest_framework.exceptions import APIException, ParseError
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request

from frappe_tokens.api.envelope import JSONMixin
from frappe_tokens.authentication import BearerAuthentication, TokenAuthentication

from .tools import TOOLS, Tool, server


class Endpoint(JSONMixin):
    """``api/mcp``: takes one message of the protocol, and returns the answer as JSON.

    Every message is a POST, so what a credential needs depends on the tool that the message calls.

    Browsers don't send a credential by themselves, so the ``Origin`` needs no check: there is
    nothing that another site's page could use.
    """

    authentication_classes = [BearerAuthentication, TokenAuthentication]
    permission_classes = [IsAuthenticated]
    schema = None
    is_oauth_resource = True
    max_body_bytes = 64 * 1024  # anyone can have it parsed: the challenge names scopes

    @property
    def called(self) -> Tool | None:
        """The tool that the message calls, if any."""
        try:
            message = self.request.data
        except APIException:
            return None  # post() can't read it either
        if not isinstance(message, dict) or message.get("method") != "tools/call":
            return None
        params = message.get("params")
        name = params.get("name") if isinstance(params, dict) else None
        return TOOLS.get(name) if isinstance(name, str) else None

    @property
    def required_scopes(self) -> tuple[str, ...]:
        """The tool's scopes. For other messages, those that an agent should ask the user for."""
        tools = TOOLS.values() if self.called is None else [self.called]
        return tuple(dict.fromkeys(scope for tool in tools for scope in tool.required_scopes))

    @property
    def accepts_any_scope(self) -> bool:
        return self.called is None or not self.called.required_scopes

    @property
    def accepts_read_only(self) -> bool:
        return self.called is None or self.called.accepts_read_only

    def post(self, request: Request) -> HttpResponse:
        if not isinstance(request.data, dict):
            raise ParseError("Send one message at a time.")
        return async_to_sync(_answer)(request)


async def _answer(request: Request) -> HttpResponse:
    """Pass the message to the SDK's server, which is an ASGI application, within this process."""
    manager = StreamableHTTPSessionManager(server, json_response=True, stateless=True)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await manager.handle_request({**scope, "user": request.user}, receive, send)

    # Written anew, so that the server can't read another tool from the message than ``called``.
    content = json.dumps(request.data)
    headers = {name: value for name, value in request.headers.items() if name.startswith("Mcp-")}
    headers |= {"Accept": "application/json", "Content-Type": "application/json"}
    transport = ASGITransport(application)
    async with manager.run(), AsyncClient(transport=transport, trust_env=False) as client:
        answer = await client.post("http://mcp/", content=content, headers=headers)
    return HttpResponse(answer.content, answer.headers.get("Content-Type"), answer.status_code)
