"""A real server, uvicorn, with five hundred requests at once."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from typing import NamedTuple

import coverage
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection

from frappe_tokens.keys import GeneratedKeys, generate_keys
from frappe_tokens.verification.threads import CONCURRENT

from ..conftest import basic_header, bearer_header, token_header
from ..request_log.processes import PROJECT, environment

pytestmark = [pytest.mark.server, pytest.mark.django_db(transaction=True)]

REQUESTS = 500
SECONDS = 60  # until the test fails


class Answer(NamedTuple):
    status: int
    body: str


@pytest.fixture
def port(tmp_path):
    """The port of a server of the site."""
    log = tmp_path / "uvicorn.log"
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener, log.open("w") as output:
        measured = ["coverage", "run", "--parallel-mode", "--rcfile=setup.cfg", "-m"]
        command = [sys.executable, "-m"]
        command += measured if coverage.Coverage.current() is not None else []
        command += ["uvicorn", "tests.plain.served.asgi:application"]
        command += [f"--fd={listener.fileno()}", "--lifespan=off", "--log-level=warning"]
        process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env=environment("null") | {"DJANGO_SETTINGS_MODULE": "tests.plain.served.settings"},
            pass_fds=[listener.fileno()],
            stdout=output,
            stderr=output,
        )
        number = listener.getsockname()[1]
        try:
            # Only the server's copy is left open, so that without a server nobody is let in.
            listener.close()
            yield number
        finally:
            # After SIGTERM it would end without writing down what was covered.
            process.send_signal(signal.SIGINT)
            process.wait(SECONDS)
    assert log.read_text() == ""


async def get(port, path, header=""):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
    if header:
        lines.append(f"Authorization: {header}")
    writer.write("\r\n".join([*lines, "", ""]).encode())
    answer = (await asyncio.wait_for(reader.read(), SECONDS)).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    return Answer(int(head.split()[1]), body)


def header_of(place, keys):
    """One of many kinds of header, and who the answer names for it; "" for a refused one."""
    users = list(keys)
    user = users[place % len(users)]
    if place % 5 == 4:
        wrong = GeneratedKeys("ftk_unknown", keys[user].api_secret, keys[user].instance)
        return token_header(wrong), ""
    scheme = (token_header, basic_header, bearer_header)[place % 3]
    return scheme(keys[user]), user


@pytest.fixture
def keys_of(make_user):
    return {name: generate_keys(make_user(name)) for name in ("ada", "eve", "mary")}


def assert_right(answers, expected):
    for answer, user in zip(answers, expected, strict=True):
        if user:
            assert answer.status == 200, answer.body
            assert json.loads(answer.body)["user"] == user
        else:
            assert answer.status == 401
            assert json.loads(answer.body)["code"] == "invalid_credentials"


def test_five_hundred_requests_at_once_do_not_block_the_loop(port, keys_of):
    sent = [header_of(place, keys_of) for place in range(REQUESTS)]
    welcome = sum(1 for _, user in sent if user)
    beats = []
    counted = []

    async def beat_until(number):
        deadline = time.monotonic() + SECONDS
        waiting = -1
        while waiting < number:
            assert time.monotonic() < deadline
            beats.append(await get(port, "/heartbeat/"))
            counted.append(await sync_to_async(connections_of_others)())
            waiting = int(beats[-1].body)

    async def load():
        await beat_until(0)
        requests = [asyncio.create_task(get(port, "/wait/", header)) for header, _ in sent]
        # All who are let in wait at the same time, while the others are answered.
        await beat_until(welcome)
        await sync_to_async(wait_until_no_connection_is_left)()
        await get(port, "/open/")
        return await asyncio.gather(*requests)

    # The synchronous parts are then this thread's, which has the connection of the tests.
    assert_right(async_to_sync(load)(), [user for _, user in sent])
    # Servers take a moment to see that a connection was closed.
    assert max(counted) <= 2 * CONCURRENT
    # With the loop blocked, a heartbeat would have come back only when all was done.
    assert len(beats) > 5
    assert {beat.status for beat in beats} == {200}


def wait_until_no_connection_is_left():
    deadline = time.monotonic() + SECONDS
    assert all(time.monotonic() < deadline for _ in iter(connections_of_others, 0))


def connections_of_others():
    """How many connections to the tests' database there are besides our own."""
    if connection.vendor == "sqlite":
        return 0
    statement = {
        "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE datname = %s "
        "AND pid != pg_backend_pid()",
        "mysql": "SELECT count(*) FROM information_schema.processlist WHERE db = %s "
        "AND id != connection_id()",
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(statement, [connection.settings_dict["NAME"]])
        (number,) = cursor.fetchone()
    return int(number)
