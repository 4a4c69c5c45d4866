"""What is logged of requests to sync and async views, by sync and async servers, and when."""

import asyncio
import threading
from contextlib import suppress

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.http import HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, AsyncRequestFactory, Client
from django.urls import path

from frappe_tokens.asgi import close_at_shutdown
from frappe_tokens.exceptions import Reason, Refused
from frappe_tokens.middleware import RequestLogMiddleware
from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log import Sink, current_sink, sinks
from frappe_tokens.request_log.buffered import BufferedSink
from frappe_tokens.verification import Outcome
from frappe_tokens.verification.request import set_outcome

from . import asgi
from .conftest import an_entry, logged_paths

HEADERS = {"Authorization": "Other credential"}


class Noting(Sink):
    """Notes the entries, and the threads that it is called from."""

    def __init__(self):
        self.entries = []
        self.threads = []

    def write(self, entry):
        self.entries.append(entry)
        self.threads.append(threading.current_thread())


class NotingAtOnce(Noting):
    """The same, which never waits."""

    blocks = False


class Failing(Sink):
    """It cannot even be closed."""

    def flush(self):
        raise OSError("The other side is gone.")


def noting(settings, kind=Noting):
    """Make such a sink the present one."""
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": f"{__name__}.{kind.__name__}"}
    return current_sink()


@pytest.fixture(autouse=True)
def _other_logs(monkeypatch):
    monkeypatch.setattr(sinks, "_sinks", {})


def plain(request):
    return HttpResponse("plain", status=201)


async def aplain(request):
    return HttpResponse("plain", status=201)


def failing(request):
    raise ZeroDivisionError


async def afailing(request):
    raise ZeroDivisionError


def streaming(request):
    def parts():
        # It is on record before its first part leaves.
        yield str(len(current_sink().entries))

    return StreamingHttpResponse(parts())


async def astreaming(request):
    async def parts():
        yield str(len(current_sink().entries))

    return StreamingHttpResponse(parts())


urlpatterns = [
    path(f"{view.__name__}/", view)
    for view in (plain, aplain, failing, afailing, streaming, astreaming)
]


@pytest.fixture(params=["sync", "async"])
def ask(request):
    """A request by a sync and by an async server."""

    def sync_ask(url, **options):
        return Client(**options).get(url, headers=HEADERS)

    def async_ask(url, **options):
        return asyncio.run(AsyncClient(**options).get(url, headers=HEADERS))

    return {"sync": sync_ask, "async": async_ask}[request.param]


def body(answer):
    async def joined():
        return b"".join([part async for part in answer.streaming_content])

    return asyncio.run(joined()) if answer.is_async else b"".join(answer.streaming_content)


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("kind", [Noting, NotingAtOnce])
@pytest.mark.parametrize(
    ("url", "status"),
    [("/plain/", 201), ("/aplain/", 201), ("/failing/", 500), ("/afailing/", 500), ("/no/", 404)],
)
def test_logs_what_is_answered(ask, settings, kind, url, status):
    sink = noting(settings, kind)
    assert ask(url, raise_request_exception=False).status_code == status
    (entry,) = sink.entries
    assert (entry.path, entry.status, entry.outcome) == (url, status, "other")


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("kind", [Noting, NotingAtOnce])
@pytest.mark.parametrize("url", ["/failing/", "/afailing/"])
def test_logs_errors_that_go_on_to_the_server(ask, settings, kind, url):
    settings.DEBUG_PROPAGATE_EXCEPTIONS = True
    sink = noting(settings, kind)
    with pytest.raises(ZeroDivisionError):
        ask(url)
    (entry,) = sink.entries
    assert (entry.path, entry.status) == (url, 500)


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("url", ["/streaming/", "/astreaming/"])
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume:Warning")
def test_logs_streams_before_they_leave(ask, settings, url):
    sink = noting(settings)
    answer = ask(url)
    assert [entry.status for entry in sink.entries] == [200]
    assert body(answer) == b"1"
    assert len(sink.entries) == 1


@pytest.mark.urls(__name__)
@pytest.mark.parametrize(("kind", "in_loop"), [(Noting, False), (NotingAtOnce, True)])
def test_an_async_server_calls_in_a_thread_what_may_wait(settings, kind, in_loop):
    sink = noting(settings, kind)
    # The middleware of the tests itself is sync, so that this one would be called in a thread.
    settings.MIDDLEWARE = ["frappe_tokens.middleware.RequestLogMiddleware"]

    async def ask():
        await AsyncClient().get("/aplain/", headers=HEADERS)
        return threading.current_thread()

    loop = asyncio.run(ask())
    assert (sink.threads == [loop]) is in_loop
    assert len(sink.entries) == 1


class Conversation:
    """A request to the async middleware, whose view waits until it is told to answer."""

    def __init__(self):
        self.begun, self.may_answer = asyncio.Event(), asyncio.Event()
        self.request = AsyncRequestFactory().get("/slow/", headers=HEADERS)
        self.middleware = RequestLogMiddleware(self._answer)
        self.task = asyncio.ensure_future(self._run())

    async def _run(self):
        answer = self.middleware(self.request)
        return await answer

    async def _answer(self, request):
        self.begun.set()
        await self.may_answer.wait()
        return HttpResponse(status=202)


async def is_cancelled(task):
    with suppress(asyncio.CancelledError):
        await task
    return task.cancelled()


@pytest.mark.parametrize("kind", [Noting, NotingAtOnce])
def test_logs_that_the_client_went_away(settings, kind):
    sink = noting(settings, kind)

    async def go_away():
        one = Conversation()
        await one.begun.wait()
        one.task.cancel()
        return await is_cancelled(one.task)

    assert asyncio.run(go_away())
    assert [entry.status for entry in sink.entries] == [499]


@pytest.mark.parametrize("kind", [Noting, NotingAtOnce])
def test_logs_whom_a_view_runs_as_whose_client_went_away(settings, kind):
    """No thread can be stopped: the view is authenticated, and does its work, after that."""
    sink = noting(settings, kind)
    busy, free = threading.Event(), threading.Event()
    refused = Refused(Reason.KEY_EXPIRED, api_key="ftk_key")

    def view(request):
        busy.set()
        free.wait(20)
        set_outcome(request, Outcome(refused=refused))
        return HttpResponse()

    async def answer(request):
        return await asyncio.shield(asyncio.ensure_future(sync_to_async(view)(request)))

    async def go_away():
        request = AsyncRequestFactory().get("/slow/", headers=HEADERS)
        response = RequestLogMiddleware(answer)(request)
        task = asyncio.ensure_future(response)
        await asyncio.to_thread(busy.wait, 20)
        task.cancel()
        await asyncio.sleep(0)
        free.set()
        assert await is_cancelled(task)
        return [(entry.status, entry.outcome, entry.api_key) for entry in sink.entries]

    assert asyncio.run(go_away()) == [(499, "key_expired", "ftk_key")]


def test_logs_the_answer_that_the_client_did_not_wait_for(settings):
    """It goes away while the row is on its way to the thread that writes it."""
    sink = noting(settings)
    busy, free = threading.Event(), threading.Event()

    def keep_busy():
        busy.set()
        free.wait(20)

    async def go_away():
        keeping = asyncio.ensure_future(sync_to_async(keep_busy)())
        await asyncio.to_thread(busy.wait, 20)
        one = Conversation()
        one.may_answer.set()
        await one.begun.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        one.task.cancel()
        await asyncio.sleep(0)
        free.set()
        await keeping
        return await is_cancelled(one.task)

    assert asyncio.run(go_away())
    assert [entry.status for entry in sink.entries] == [202]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("log", ["durable", "buffered"])
def test_async_requests_are_in_the_table(keys, settings, log):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": log}
    url = "/api/method/frappe.auth.get_logged_user"

    async def ask():
        headers = {"Authorization": f"token {keys.token}"}
        answer = await AsyncClient().get(url, headers=headers)
        assert answer.status_code == 200
        await sync_to_async(connections.close_all)()

    asyncio.run(ask())
    current_sink().close()
    row = ApiRequestLog.objects.get()
    assert (row.path, row.user, row.outcome) == (url, keys.instance.user, "accepted")


def lifespan():
    """What the application of the documentation answers to a server that starts and stops."""
    answers = []

    async def live():
        messages = iter(["lifespan.startup", "lifespan.shutdown"])

        async def receive():
            return {"type": next(messages)}

        async def send(message):
            answers.append(message["type"])

        await asgi.application({"type": "lifespan"}, receive, send)

    asyncio.run(live())
    return answers


@pytest.mark.django_db(transaction=True)
def test_the_log_is_closed_when_an_asgi_server_stops(settings):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": "buffered"}
    sink = current_sink()
    assert isinstance(sink, BufferedSink)
    sink.write(an_entry("/last"))
    assert lifespan() == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert logged_paths() == ["/last"]


def test_an_asgi_server_stops_where_the_log_cannot_be_closed(settings, caplog):
    noting(settings, Failing)
    assert lifespan()[-1] == "lifespan.shutdown.complete"
    assert caplog.messages == ["The request log couldn't be written completely."]


def test_requests_go_to_the_application():
    asked = []

    async def application(*arguments):
        asked.append(arguments)

    asyncio.run(close_at_shutdown(application)({"type": "http"}, None, None))
    assert asked == [({"type": "http"}, None, None)]
