"""Every way in, asked alike: a view of each kind that says whom the request runs as."""

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
    """What came back: for a request that was let in, whom it ran as and by which kind of key."""

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


class UndeclaredRest(Rest):
    required_scopes = []


@csrf_protect
def undeclared(request):
    return JsonResponse(described(request))


@csrf_protect
def plain(request):
    return JsonResponse(described(request))


# Only the middleware enforces an attribute, which is what these tests are about.
plain.required_scopes = [SCOPE]


async def aundeclared(request):
    user = await request.auser()
    assert user == request.user
    return JsonResponse(described(request))


async def aplain(request):
    return await aundeclared(request)


aplain.required_scopes = [SCOPE]


api = register(NinjaAPI(auth=TokenAuth(SCOPE)))


@api.api_operation(["GET", "POST"], "sync/")
def operation(request):
    return described(request)


@api.api_operation(["GET", "POST"], "async/")
async def aoperation(request):
    return described(request)


@api.api_operation(["GET", "POST"], "sync-undeclared/", auth=TokenAuth())
def operation_undeclared(request):
    return described(request)


@api.api_operation(["GET", "POST"], "async-undeclared/", auth=TokenAuth())
async def aoperation_undeclared(request):
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
    path("rest-undeclared/", UndeclaredRest.as_view()),
    path("plain/", plain),
    path("plain-undeclared/", undeclared),
    path("async/", aplain),
    path("async-undeclared/", aundeclared),
    path("ninja/", api.urls),
]


class Way(NamedTuple):
    """How a request is sent. ``undeclared`` is asked where no scope is declared."""

    name: str
    ask: Callable[..., Answer]
    path: Any
    undeclared: Any


def _headers(header, source, more):
    sent = {"Authorization": header, "Frappe-Authorization-Source": source, **more}
    return {name: value for name, value in sent.items() if value is not None}


def _answer(response):
    return Answer(response.status_code, json.loads(response.content), dict(response.items()))


def by_http(path, header, *, method, source, address, **more):
    return _answer(
        Client(enforce_csrf_checks=True).generic(
            method, path, headers=_headers(header, source, more), REMOTE_ADDR=address
        )
    )


class _AsyncClientAt(AsyncClient):
    def _base_scope(self, **request):
        return {**super()._base_scope(**request), "client": [self.address, 50_000]}


def by_asgi(path, header, *, method, source, address, **more):
    async def send():
        client = _AsyncClientAt(enforce_csrf_checks=True)
        client.address = address
        return await client.generic(method, path, headers=_headers(header, source, more))

    return _answer(async_to_sync(send)())


def by_websocket(consumer, header, *, method, source, address, **more):
    # What is no GET may change something, as may a WebSocket that nobody said otherwise of.
    application = TokenAuthMiddleware(consumer.as_asgi(), read_only=method == "GET")
    headers = [
        (name.lower().encode(), value.encode("latin-1"))
        for name, value in _headers(header, source, {"Host": "testserver", **more}).items()
    ]

    async def connect():
        socket = WebsocketCommunicator(application, "/", headers)
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
        assert [first["type"], last["type"]] == [
            "websocket.http.response.start",
            "websocket.http.response.body",
        ]
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
