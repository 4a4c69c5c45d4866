"""The decision in an event loop: how many at a time, in which thread, by which connection."""

import asyncio
import threading
import time

import pytest
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import Group
from django.core.handlers.asgi import ASGIHandler
from django.db import connection, connections
from django.test import RequestFactory

from frappe_tokens.credentials import parse
from frappe_tokens.exceptions import Refused
from frappe_tokens.keys import GeneratedKeys
from frappe_tokens.models import ApiKey
from frappe_tokens.signals import authentication_succeeded
from frappe_tokens.verification import threads
from frappe_tokens.verification.decision import RequestInfo, averify
from frappe_tokens.verification.threads import CONCURRENT

from ..conftest import token_header

pytestmark = pytest.mark.django_db(transaction=True)

SECONDS = 30


async def verify(keys):
    credential = parse(token_header(keys), "token")
    assert credential is not None
    return await averify(credential, RequestInfo(RequestFactory().get("/")))


async def verify_as_served(keys):
    """As Django does for each request of a server: in a thread of its own."""
    async with ThreadSensitiveContext():
        return await verify(keys)


@pytest.fixture
def on_success():
    """Has something done in the midst of each decision, in its thread."""
    receivers = []

    def connect(work):
        def receive(**kwargs):
            work()

        authentication_succeeded.connect(receive)
        receivers.append(receive)

    yield connect
    for receive in receivers:
        authentication_succeeded.disconnect(receive)


class Crowd:
    """Counts who is in at a time, and lets nobody out before there are so many."""

    def __init__(self, wanted):
        self.inside = self.most = 0
        self.lock = threading.Lock()
        self.wanted = threading.Barrier(wanted)

    def enter(self):
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.wanted.wait(SECONDS)
        with self.lock:
            self.inside -= 1


def test_a_bounded_number_is_decided_at_a_time(keys, on_success):
    crowd = Crowd(CONCURRENT)
    on_success(crowd.enter)

    async def serve():
        return await asyncio.gather(*(verify_as_served(keys) for _ in range(3 * CONCURRENT)))

    # Twice, as each loop has its own.
    for _ in range(2):
        decided = asyncio.run(serve())
        assert decided == [keys.instance] * 3 * CONCURRENT
    assert crowd.most == CONCURRENT


def test_refusals_come_through(keys):
    wrong = GeneratedKeys("ftk_unknown", keys.api_secret, keys.instance)
    with pytest.raises(Refused, match="invalid_credentials"):
        asyncio.run(verify_as_served(wrong))


class Held:
    """Keeps decisions until it is told to let them go."""

    def __init__(self):
        self.reached = threading.Semaphore(0)
        self.gate = threading.Event()

    def wait(self):
        self.reached.release()
        assert self.gate.wait(SECONDS)

    async def until_reached(self):
        deadline = time.monotonic() + SECONDS
        while not self.reached.acquire(blocking=False):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.001)


def test_whoever_goes_away_keeps_the_place_until_the_thread_is_done(keys, on_success, monkeypatch):
    monkeypatch.setattr(threads, "CONCURRENT", 1)
    held = Held()
    on_success(held.wait)

    async def serve():
        gone = asyncio.create_task(verify_as_served(keys))
        await held.until_reached()
        gone.cancel()
        for _ in range(100):
            await asyncio.sleep(0)
        # Else as many threads would ask the database as clients come and go.
        assert threads.semaphore().locked()
        gone.cancel()
        for _ in range(100):
            await asyncio.sleep(0)
        assert threads.semaphore().locked()
        held.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await gone
        await asyncio.sleep(0)
        assert not threads.semaphore().locked()
        assert await verify_as_served(keys) == keys.instance

    asyncio.run(serve())


def test_a_client_that_goes_away_does_not_stop_the_loop(keys, on_success, site):
    held = Held()
    on_success(held.wait)
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/async/who/",
        "query_string": b"",
        "headers": [(b"host", b"testserver"), (b"authorization", token_header(keys).encode())],
        "client": ["127.0.0.1", 1],
    }

    async def serve():
        served = ApplicationCommunicator(ASGIHandler(), scope)
        await served.send_input({"type": "http.request", "body": b""})
        await held.until_reached()
        await served.send_input({"type": "http.disconnect"})
        # With the loop stopped, nobody would be there to open the gate.
        await asyncio.sleep(0.05)
        assert not served.future.done()
        held.gate.set()
        await served.wait(SECONDS)
        assert served.output_queue.empty()

    asyncio.run(serve())


# Connections


def is_open():
    return connection.connection is not None


@pytest.fixture
def max_age(request, monkeypatch):
    age = request.param
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", age)
    return age


@pytest.mark.parametrize("max_age", [0, 600, None], indirect=True)
def test_no_connection_is_held_while_the_view_runs(keys, max_age):
    async def serve():
        async with ThreadSensitiveContext():
            assert await verify(keys) == keys.instance
            return await sync_to_async(is_open)()

    assert asyncio.run(serve()) is False


def test_nor_by_a_refused_one(keys):
    ApiKey.objects.all().delete()

    async def serve():
        async with ThreadSensitiveContext():
            with pytest.raises(Refused):
                await verify(keys)
            return await sync_to_async(is_open)()

    assert asyncio.run(serve()) is False


@pytest.mark.parametrize("max_age", [600], indirect=True)
def test_one_that_was_open_before_stays_open(keys, max_age):
    async def serve():
        async with ThreadSensitiveContext():
            await Group.objects.acount()
            await verify(keys)
            still = await sync_to_async(is_open)()
            await sync_to_async(connections.close_all)()
            return still

    assert asyncio.run(serve()) is True


@pytest.mark.parametrize("max_age", [0, 600], indirect=True)
def test_in_a_thread_that_goes_on_it_stays_as_long_as_conn_max_age_says(keys, max_age):
    async def serve():
        await sync_to_async(connections.close_all)()
        await verify(keys)
        still = await sync_to_async(is_open)()
        await sync_to_async(connections.close_all)()
        return still

    assert asyncio.run(serve()) is (max_age > 0)
