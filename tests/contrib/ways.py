"""Every way in: a view of each kind that returns which user the request runs as."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from asgiref.sync import async_to_sync
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.testing import WebsocketCommunicator
from django.http import JsonResponse
from django.test import AsyncClient, Client
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_protect
from ninja import NinjaAPI
from rest_framework.response import Response
from rest_framework.views import APIView

from frappe_tokens.authentication import (
    BasicAuthentication,
    BearerAuthentication,
    TokenAuthentication,
)
from frappe_tokens.contrib.channels import TokenAuthMiddleware
from frappe_tokens.contrib.ninja import TokenAuth, register

SCOPE = "todos:read"


class Answer(NamedTuple):
    status: int
    body: dict[str, str]
    headers: dict[str, str]


def described(request):
    auth = getattr(request, "auth", None)
    return {"user": request.user.get_username(), "auth": type(auth).__name__}


class Rest(APIView):
    authentication_classes = [TokenAuthentication, BasicAuthentication, BearerAuthentication]
    permission_classes = []
    required_scopes = [SCOPE]

    def get(self, request):
        return Response(described(request))

    post = get


async def aundeclared(request):
    assert await request.auser() == request.user
    return JsonResponse(described(request))


class Plain(View):
    # Only the middleware enforces an attribute, which is what these tests are about.
    required_scopes = [SCOPE]

    @method_decorator(csrf_protect)
    def get(self, request):
        return JsonResponse(described(request))

    post = get


async def aplain(request):
    return await aundeclared(request)


aplain.required_scopes = [SCOPE]


api = register(NinjaAPI())
for suffix, auth in (("", TokenAuth(SCOPE)), ("-undeclared", TokenAuth())):

    @api.api_operation(["GET", "POST"], f"sync{suffix}/", auth=auth)
    def operation(request):
        return described(request)

    @api.api_operation(["GET", "POST"], f"async{suffix}/", auth=auth)
    async def aoperation(request):
        return described(request)


class Consumer(AsyncWebsocketConsumer):
    required_scopes = [SCOPE]

    async def connect(self):
        await self.accept()
        body = {
            "user": self.scope["user"].get_username(),
            "auth": type(self.scope["auth"]).__name__,
        }
        await self.send(json.dumps(body))


class UndeclaredConsumer(Consumer):
    required_scopes = []


urlpatterns = [
    path("rest/", Rest.as_view()),
    path("rest-undeclared/", Rest.as_view(required_scopes=[])),
    path("plain/", Plain.as_view()),
    path("plain-undeclared/", Plain.as_view(required_scopes=[])),
    path("async/", aplain),
    path("async-undeclared/", aundeclared),
    path("ninja/", api.urls),
]


class Way(NamedTuple):
    """How a request is sent, and to what: a view with a scope, and one without."""

    name: str
    ask: Callable[..., Answer]
    path: Any
    undeclared: Any


def _named(header, headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return named if header is None else {"authorization": header, **named}


def _answer(response):
    return Answer(response.status_code, json.loads(response.content), dict(response.items()))


def by_http(path, header, method, address, headers):
    client = Client(enforce_csrf_checks=True, REMOTE_ADDR=address)
    return _answer(client.generic(method, path, headers=_named(header, headers)))


class _AsyncClientAt(AsyncClient):
    def _base_scope(self, **request):
        return {**super()._base_scope(**request), "client": [self.address, 50_000]}


def by_asgi(path, header, method, address, headers):
    client = _AsyncClientAt(enforce_csrf_checks=True)
    client.address = address

    async def send():
        return await client.generic(method, path, headers=_named(header, headers))

    return _answer(async_to_sync(send)())


def by_websocket(consumer, header, method, address, headers):
    # By default, what is sent over a WebSocket may change something.
    application = TokenAuthMiddleware(consumer.as_asgi(), read_only=method == "GET")
    encoded = [
        (name.encode(), value.encode("latin-1"))
        for name, value in _named(header, {"host": "testserver", **headers}).items()
    ]

    async def connect():
        socket = WebsocketCommunicator(application, "/", encoded)
        socket.scope["client"] = (address, 50_000)
        socket.scope["extensions"] = {"websocket.http.response": {}}
        await socket.send_input({"type": "websocket.connect"})
        first = await socket.receive_output()
        if first["type"] == "websocket.accept":
            body = await socket.receive_json_from()
            await socket.disconnect()
            return Answer(200, body, {})
        last = await socket.receive_output()
        await socket.wait()
        assert first["type"] == "websocket.http.response.start"
        assert last["type"] == "websocket.http.response.body"
        got = {name.decode(): value.decode() for name, value in first["headers"]}
        return Answer(first["status"], json.loads(last["body"]), got)

    return async_to_sync(connect)()


WAYS = [
    Way("DRF", by_http, "/rest/", "/rest-undeclared/"),
    Way("DRF by ASGI", by_asgi, "/rest/", "/rest-undeclared/"),
    Way("middleware", by_http, "/plain/", "/plain-undeclared/"),
    Way("async middleware", by_asgi, "/async/", "/async-undeclared/"),
    Way("Ninja", by_http, "/ninja/sync/", "/ninja/sync-undeclared/"),
    Way("async Ninja", by_asgi, "/ninja/async/", "/ninja/async-undeclared/"),
    Way("Channels", by_websocket, Consumer, UndeclaredConsumer),
]
