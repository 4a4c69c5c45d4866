"""Channels, the real package, besides what ``test_ways_in`` proves."""

import asyncio
import json

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.auth import AuthMiddlewareStack
from channels.db import database_sync_to_async
from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.testing import HttpCommunicator, WebsocketCommunicator
from django.db import connection, connections
from django.test import Client
from django.urls import path

from frappe_tokens.contrib.channels import TokenAuthMiddleware
from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey

from ..conftest import token_header
from ..event_loop import first_step
from ..event_loop import local_memory as local_memory

pytestmark = pytest.mark.django_db(transaction=True)


class Prices(AsyncWebsocketConsumer):
    """Sends which user it runs as, by a query of its own."""

    async def connect(self):
        await self.accept()
        auth = self.scope["auth"]
        keys = await database_sync_to_async(ApiKey.objects.count)()
        user = self.scope["user"].get_username()
        await self.send(json.dumps([user, auth and auth.api_key, keys]))


class Scoped(Prices):
    required_scopes = "prices:read"


class Report(AsyncHttpConsumer):
    async def handle(self, body):
        await self.send_response(200, self.scope["user"].get_username().encode())


routes = URLRouter(
    [
        path("prices/", Prices.as_asgi()),
        path("report/", Report.as_asgi()),
        path("scoped/", TokenAuthMiddleware(Scoped.as_asgi())),
    ]
)
application = ProtocolTypeRouter(
    {
        "http": TokenAuthMiddleware(routes),
        "websocket": AuthMiddlewareStack(TokenAuthMiddleware(routes)),
    }
)


def headers_of(header, client=None):
    headers = {"host": "testserver"}
    if header is not None:
        headers["authorization"] = header
    if client is not None:
        headers["cookie"] = f"sessionid={client.cookies['sessionid'].value}"
    return [(name.encode(), value.encode()) for name, value in headers.items()]


async def first_words(app, where, headers):
    """Return what a WebSocket sends first, or the code that it is closed with."""
    socket = WebsocketCommunicator(app, where, headers)
    accepted, code = await socket.connect()
    if not accepted:
        await socket.wait()
        return code
    said = await socket.receive_json_from()
    await socket.disconnect()
    return said


def connect(header=None, where="/prices/", app=None, **more):
    return async_to_sync(first_words)(app or application, where, headers_of(header, **more))


def test_socket_runs_as_the_keys_user(keys):
    assert connect(token_header(keys), "/prices/?caf%C3%A9=%ff") == ["ada", keys.api_key, 1]


def test_without_the_header_it_runs_as_the_sessions_user(keys, make_user):
    client = Client()
    client.force_login(make_user("eve"))

    assert connect(client=client) == ["eve", None, 1]
    assert connect("Digest abc", client=client) == ["eve", None, 1]
    assert connect(token_header(keys), client=client) == ["ada", keys.api_key, 1]
    assert connect("token a:b", client=client) == 4401


def test_read_only_key_opens_a_socket_that_changes_nothing(user):
    header = token_header(generate_keys(user, read_only=True))
    assert connect(header) == 4403
    app = TokenAuthMiddleware(Prices.as_asgi(), read_only=True)
    assert connect(header, app=app)[0] == "ada"


def test_scopes_are_those_of_the_consumer_or_of_the_argument(user):
    header = token_header(generate_keys(user, scopes=["prices:read"]))
    assert connect(header) == 4403
    # The outer one knows nothing of the routes.
    assert connect(header, "/scoped/") == 4403
    assert connect(header, app=TokenAuthMiddleware(Scoped.as_asgi()))[0] == "ada"
    for scopes, opened in ((["prices:read"], True), ("prices:read", True), (["other"], False)):
        app = TokenAuthMiddleware(routes, required_scopes=scopes)
        assert (connect(header, app=app) != 4403) is opened
    by_route = URLRouter([path("scoped/", TokenAuthMiddleware(Scoped.as_asgi()))])
    assert connect(header, "/scoped/", app=by_route)[0] == "ada"


@async_to_sync
async def ask(method, header):
    asked = HttpCommunicator(application, method, "/report/", headers=headers_of(header))
    return await asked.get_response()


def test_http_is_answered_as_by_the_other_ways(user):
    reader = token_header(generate_keys(user, read_only=True))
    answer = ask("GET", reader)
    assert (answer["status"], answer["body"]) == (200, b"ada")
    assert ask("GET", None)["body"] == b""
    assert ask("POST", reader)["status"] == 403
    refused = ask("GET", "token a:b")
    assert refused["status"] == 401
    assert json.loads(refused["body"])["code"] == "invalid_credentials"
    assert dict(refused["headers"])[b"WWW-Authenticate"] == b'token realm="api"'
    assert dict(refused["headers"])[b"Content-Length"] == str(len(refused["body"])).encode()


def test_lifespan_messages_are_passed_on():
    passed = []

    async def inner(scope, receive, send):
        passed.append(scope)

    async_to_sync(TokenAuthMiddleware(inner))({"type": "lifespan"}, None, None)
    assert passed == [{"type": "lifespan"}]


def test_connection_older_than_conn_max_age_is_not_reused(keys, monkeypatch):
    """No request ends in Channels' thread, so that nothing else would close it."""
    scope = {"type": "websocket", "path": "/", "headers": headers_of(token_header(keys))}
    used = []

    def keep():
        # Another test may have connected in this thread.
        connection.close()
        monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 600)

    def present():
        connection.ensure_connection()
        return connection.connection

    async def inner(scope, receive, send):
        used.append(await sync_to_async(present)())

    async def serve():
        application = TokenAuthMiddleware(inner)
        await sync_to_async(keep)()
        used.append(await sync_to_async(present)())
        await application(scope, None, None)
        await sync_to_async(lambda: setattr(connection, "close_at", 0))()
        await application(scope, None, None)
        await sync_to_async(connections.close_all)()

    # In a loop of its own, for which all such work is done in one thread.
    asyncio.run(serve())
    first, second, third = used
    assert first is second
    assert second is not third


@pytest.mark.usefixtures("local_memory")
def test_key_in_local_memory_opens_a_socket_without_a_thread(keys):
    scope = {"type": "websocket", "path": "/", "headers": headers_of(token_header(keys))}

    async def inner(scope, receive, send):
        return scope["user"].get_username()

    async def serve():
        application = TokenAuthMiddleware(inner)
        # The first one caches the key.
        return await application(scope, None, None), await first_step(
            application(scope, None, None)
        )

    assert asyncio.run(serve()) == ("ada", "ada")
