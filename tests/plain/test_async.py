"""The decision in an event loop: how many at a time, in which thread, by which connection."""

import asyncio
import threading
import time
from contextlib import nullcontext, suppress

import pytest
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import Group
from django.core.handlers.asgi import ASGIHandler
from django.db import connection, connections
from django.test import RequestFactory

from frappe_tokens.credentials import parse
from frappe_tokens.exceptions import Refused
from frappe_tokens.keys import generate_keys
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
    """Calls a function during each decision, in its thread."""
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
    """Counts the threads inside, and releases none before there are so many."""

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


def test_number_of_parallel_decisions_is_limited_and_each_is_about_its_own_key(
    make_user, on_success
):
    crowd = Crowd(CONCURRENT)
    on_success(crowd.enter)
    pairs = [generate_keys(make_user(f"user{number}")) for number in range(3)] * CONCURRENT

    async def serve():
        return await asyncio.gather(*map(verify_as_served, pairs))

    # Twice, as each loop has its own limit.
    for _ in range(2):
        assert asyncio.run(serve()) == [pair.instance for pair in pairs]
    assert crowd.most == CONCURRENT == 20


class Held:
    """Blocks decisions until its gate opens."""

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


def test_cancelled_request_counts_until_its_thread_ends(keys, on_success, monkeypatch):
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


def test_client_that_disconnects_does_not_block_the_loop(keys, on_success, site):
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
        for _ in range(100):
            await asyncio.sleep(0)
        # With the loop blocked, this line would not be reached.
        assert not served.future.done()
        held.gate.set()
        await served.wait(SECONDS)
        assert served.output_queue.empty()

    asyncio.run(serve())


def is_open():
    return connection.connection is not None


def set_max_age(monkeypatch, seconds):
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", seconds)


@pytest.mark.parametrize("secret", ["right", "wrong"])
@pytest.mark.parametrize("seconds", [0, 600])
def test_no_connection_is_held_while_the_view_runs(keys, monkeypatch, seconds, secret):
    set_max_age(monkeypatch, seconds)
    if secret == "wrong":
        ApiKey.objects.all().delete()

    async def serve():
        async with ThreadSensitiveContext():
            with suppress(Refused) if secret == "wrong" else nullcontext():
                await verify(keys)
            return await sync_to_async(is_open)()

    assert asyncio.run(serve()) is False


@pytest.mark.parametrize(
    ("own_thread", "opened_before", "seconds", "stays"),
    [(True, True, 600, True), (False, False, 600, True), (False, False, 0, False)],
)
def test_connection_that_was_open_or_is_persistent_stays_open(
    keys, monkeypatch, own_thread, opened_before, seconds, stays
):
    set_max_age(monkeypatch, seconds)

    async def serve():
        async with ThreadSensitiveContext() if own_thread else nullcontext():
            await sync_to_async(connections.close_all)()
            if opened_before:
                await Group.objects.acount()
            await verify(keys)
            is_still_open = await sync_to_async(is_open)()
            await sync_to_async(connections.close_all)()
            return is_still_open

    assert asyncio.run(serve()) is stays
