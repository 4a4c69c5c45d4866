"""What is logged of requests to sync and async views by sync and async servers, and when."""

import asyncio
import threading
from contextlib import suppress

import pytest
import time_machine
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.db import connections
from django.http import HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, AsyncRequestFactory, Client
from django.urls import path

from frappe_tokens.asgi import close_at_shutdown
from frappe_tokens.exceptions import Reason, Refused
from frappe_tokens.middleware import RequestLogMiddleware
from frappe_tokens.request_log import Sink, current_sink, unproven
from frappe_tokens.verification import AccessToken, Outcome
from frappe_tokens.verification.request import set_outcome

from ..client import IN_A_MINUTE
from ..event_loop import ELSEWHERE, LOCAL, WAITS, first_step, use_cache
from . import asgi
from .conftest import logged_paths

HEADERS = {"Authorization": "Other credential"}


class BlockingSink(Sink):
    """Collects the entries, and the threads that it is called from."""

    def __init__(self):
        self.entries = []
        self.threads = []

    def write(self, entry):
        self.entries.append(entry)
        self.threads.append(threading.current_thread())


class FastSink(BlockingSink):
    blocks = False


class BrokenSink(Sink):
    def flush(self):
        raise OSError("The other side is gone.")


@pytest.fixture(params=[BlockingSink, FastSink])
def sink(request, settings):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": f"{__name__}.{request.param.__name__}"}
    return current_sink()


def plain(request):
    return HttpResponse("plain", status=201)


async def aplain(request):
    return HttpResponse("plain", status=201)


def failing(request):
    raise ZeroDivisionError


async def afailing(request):
    raise ZeroDivisionError


async def streaming(request):
    async def parts():
        # It is logged before the first part is sent.
        yield str(len(current_sink().entries))

    return StreamingHttpResponse(parts())


def names_no_log(request):
    django_settings.FRAPPE_TOKENS = {"REQUEST_LOG": "no.such.Sink"}
    return HttpResponse("plain", status=201)


async def anames_no_log(request):
    return names_no_log(request)


urlpatterns = [
    path(f"{view.__name__}/", view)
    for view in (plain, aplain, failing, afailing, streaming, names_no_log, anames_no_log)
]


@pytest.fixture(params=["sync", "async"])
def get(request):
    """Send a request to a sync or an async server."""

    def get(url, **options):
        if request.param == "sync":
            return Client(**options).get(url, headers=HEADERS)
        return asyncio.run(AsyncClient(**options).get(url, headers=HEADERS))

    return get


@pytest.mark.urls(__name__)
@pytest.mark.parametrize(
    ("url", "status"),
    [("/plain/", 201), ("/aplain/", 201), ("/failing/", 500), ("/afailing/", 500), ("/no/", 404)],
)
def test_response_is_logged(get, sink, url, status):
    assert get(url, raise_request_exception=False).status_code == status

    (entry,) = sink.entries
    assert (entry.path, entry.status, entry.outcome) == (url, status, "other")


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("url", ["/failing/", "/afailing/"])
def test_exception_that_reaches_the_server_is_logged(get, sink, settings, url):
    settings.DEBUG_PROPAGATE_EXCEPTIONS = True

    with pytest.raises(ZeroDivisionError):
        get(url)

    (entry,) = sink.entries
    assert (entry.path, entry.status) == (url, 500)


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("url", ["/names_no_log/", "/anames_no_log/"])
def test_setting_that_becomes_wrong_fails_no_request(get, sink, url):
    assert get(url).status_code == 201


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("sink", [BlockingSink], indirect=True)
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume:Warning")
def test_stream_is_logged_before_it_is_sent(get, sink):
    response = get("/streaming/")
    assert [entry.status for entry in sink.entries] == [200]

    async def body():
        return b"".join([part async for part in response.streaming_content])

    assert asyncio.run(body()) == b"1"
    assert len(sink.entries) == 1


@pytest.mark.urls(__name__)
def test_async_server_calls_only_a_sink_that_blocks_in_a_thread(sink, settings):
    # Without the tests' own middleware, which is sync, so that Django would use a thread.
    settings.MIDDLEWARE = ["frappe_tokens.middleware.RequestLogMiddleware"]
    settings.FRAPPE_TOKENS |= {"REQUEST_LOG_LIMIT": None}

    async def get():
        await AsyncClient().get("/aplain/", headers=HEADERS)
        return threading.current_thread()

    loop = asyncio.run(get())
    assert (sink.threads == [loop]) is not sink.blocks
    assert len(sink.entries) == 1


async def refusing(request):
    set_outcome(request, Outcome(None, Refused(Reason.MALFORMED_CREDENTIALS)))
    return HttpResponse(status=401)


async def accepting(request):
    set_outcome(request, Outcome(AccessToken(None, None, None, False, True, False)))
    return HttpResponse()


@pytest.fixture
def endless_minute(monkeypatch):
    """No thread writes the counts meanwhile."""
    monkeypatch.setattr(threading.Timer, "start", lambda timer: None)
    with time_machine.travel(IN_A_MINUTE, tick=False):
        yield


@pytest.mark.usefixtures("endless_minute")
@pytest.mark.parametrize(
    ("view", "backend", "limit", "waits"),
    [
        (accepting, ELSEWHERE, 5, False),
        (refusing, LOCAL, 5, False),
        (refusing, ELSEWHERE, None, False),
        (refusing, ELSEWHERE, 5, True),
        (refusing, ELSEWHERE, 0, False),
    ],
)
def test_request_is_logged_in_the_loop_unless_a_count_is_elsewhere(
    settings, view, backend, limit, waits
):
    use_cache(settings, backend)
    settings.FRAPPE_TOKENS |= {
        "REQUEST_LOG": f"{__name__}.FastSink",
        "REQUEST_LOG_LIMIT": limit,
    }

    async def serve():
        request = AsyncRequestFactory().get("/", headers=HEADERS)
        return await first_step(RequestLogMiddleware(view)(request))

    assert (asyncio.run(serve()) == WAITS) is waits
    assert len(current_sink().entries) == (0 if waits or limit == 0 else 1)


@pytest.mark.usefixtures("endless_minute")
def test_requests_beyond_the_limit_are_counted_in_the_loop(settings):
    use_cache(settings, ELSEWHERE)
    settings.FRAPPE_TOKENS |= {"REQUEST_LOG": f"{__name__}.FastSink", "REQUEST_LOG_LIMIT": 1}

    async def serve():
        middleware = RequestLogMiddleware(refusing)
        request = AsyncRequestFactory().get("/", headers=HEADERS)
        for _ in range(2):
            await middleware(request)
        return await first_step(middleware(request))

    assert asyncio.run(serve()).status_code == 401
    unproven.limit.write_counts()
    assert [entry.number for entry in current_sink().entries] == [1, 2]


class Conversation:
    """A request to the async middleware, whose view waits for ``may_answer``."""

    def __init__(self):
        self.begun, self.may_answer = asyncio.Event(), asyncio.Event()
        self.request = AsyncRequestFactory().get("/slow/", headers=HEADERS)
        self.task = asyncio.ensure_future(RequestLogMiddleware(self._answer)(self.request))

    async def _answer(self, request):
        self.begun.set()
        await self.may_answer.wait()
        return HttpResponse(status=202)


async def is_cancelled(task):
    with suppress(asyncio.CancelledError):
        await task
    return task.cancelled()


def test_client_that_left_is_logged(sink):
    async def leave():
        conversation = Conversation()
        await conversation.begun.wait()
        conversation.task.cancel()
        return await is_cancelled(conversation.task)

    assert asyncio.run(leave())
    assert [entry.status for entry in sink.entries] == [499]


def test_outcome_of_a_view_whose_client_left_is_logged(sink):
    """No thread can be stopped: the view is authenticated, and does its work, after that."""
    busy, free = threading.Event(), threading.Event()
    refused = Refused(Reason.KEY_EXPIRED, api_key="ftk_key")

    def view(request):
        busy.set()
        free.wait(60)
        set_outcome(request, Outcome(None, refused))
        return HttpResponse()

    async def answer(request):
        return await asyncio.shield(asyncio.ensure_future(sync_to_async(view)(request)))

    async def leave():
        request = AsyncRequestFactory().get("/slow/", headers=HEADERS)
        task = asyncio.ensure_future(RequestLogMiddleware(answer)(request))
        await asyncio.to_thread(busy.wait, 60)
        task.cancel()
        await asyncio.sleep(0)
        free.set()
        return await is_cancelled(task)

    assert asyncio.run(leave())
    (entry,) = sink.entries
    assert (entry.status, entry.outcome, entry.api_key) == (499, "key_expired", "ftk_key")


@pytest.mark.parametrize("sink", [BlockingSink], indirect=True)
def test_response_is_logged_if_the_client_leaves_meanwhile(sink):
    """The entry is on its way to the thread that writes it."""
    busy, free = threading.Event(), threading.Event()

    def keep_busy():
        busy.set()
        free.wait(60)

    async def leave():
        keeping = asyncio.ensure_future(sync_to_async(keep_busy)())
        await asyncio.to_thread(busy.wait, 60)
        conversation = Conversation()
        conversation.may_answer.set()
        await conversation.begun.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        conversation.task.cancel()
        await asyncio.sleep(0)
        free.set()
        await keeping
        return await is_cancelled(conversation.task)

    assert asyncio.run(leave())
    assert [entry.status for entry in sink.entries] == [202]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("log", ["durable", "buffered"])
def test_async_requests_are_in_the_table(keys, settings, log):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": log}
    url = "/api/method/frappe.auth.get_logged_user"

    async def get():
        headers = {"Authorization": f"token {keys.token}"}
        assert (await AsyncClient().get(url, headers=headers)).status_code == 200
        await sync_to_async(connections.close_all)()

    asyncio.run(get())
    current_sink().close()
    assert logged_paths() == [url]


@pytest.mark.parametrize("sink", [BrokenSink], indirect=True)
def test_asgi_server_stops_even_if_the_log_cannot_be_closed(sink, caplog):
    messages, answers = iter(["lifespan.startup", "lifespan.shutdown"]), []

    async def receive():
        return {"type": next(messages)}

    async def send(message):
        answers.append(message["type"])

    asyncio.run(asgi.application({"type": "lifespan"}, receive, send))

    assert answers == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert caplog.messages == ["The request log couldn't be written completely."]


def test_other_messages_go_to_the_application():
    received = []

    async def application(*arguments):
        received.append(arguments)

    asyncio.run(close_at_shutdown(application)({"type": "http"}, None, None))
    assert received == [({"type": "http"}, None, None)]


class BrokenRouter:
    def db_for_write(self, model, **hints):
        raise LookupError("There is no tenant.")


@pytest.mark.urls(__name__)
@pytest.mark.django_db(transaction=True)
def test_response_is_sent_if_the_router_fails(settings, monkeypatch):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": "buffered"}
    settings.DATABASE_ROUTERS = [BrokenRouter()]

    response = asyncio.run(AsyncClient().get("/aplain/", headers=HEADERS))

    assert response.status_code == 201
