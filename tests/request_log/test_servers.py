"""Servers and programs in processes of their own: no request is lost, except by a crash."""

import os
import re
import signal
import time
from contextlib import ExitStack

import pytest

from .conftest import logged_paths, wait_until
from .processes import ASGI, GUNICORN, WSGI, load_on, run, serving

pytestmark = [pytest.mark.server, pytest.mark.django_db(transaction=True)]

THREADS = (*GUNICORN, "--worker-class", "gthread", "--threads", "4", WSGI)
SERVERS = [
    ("buffered", (*GUNICORN, "--workers", "2", "--preload", WSGI)),
    ("buffered", (*GUNICORN, "--worker-class", "uvicorn_worker.UvicornWorker", ASGI)),
    ("buffered", ("-m", "uvicorn", "--fd", "{fd}", "--no-access-log", ASGI)),
    ("durable", THREADS),
]

WRITING = """
import atexit, os, sys, threading
import django

django.setup()

from tests.request_log.conftest import an_entry


def write(path):
    from frappe_tokens.request_log import current_sink

    current_sink().write(an_entry(path))

"""


def test_graceful_stop_loses_no_request(keys):
    with ExitStack() as stack:
        servers = [
            stack.enter_context(serving(log, number, *arguments))
            for number, (log, arguments) in enumerate(SERVERS)
        ]
        loads = [stack.enter_context(load_on(server, keys, clients=2)) for server in servers]
        for load in loads:
            load.wait_for(50)
        for server in servers:
            server.stop()
        for server in servers:
            server.end()
    logged = set(logged_paths())
    for load in loads:
        assert set(load.answered) <= logged


def workers(server):
    """The processes that ``server`` has started so far."""
    return [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", "".join(server.said))]


@pytest.mark.parametrize("log", ["durable", "buffered"])
def test_killed_worker_loses_no_more_than_promised(keys, log):
    with serving(log, 0, *THREADS) as server, load_on(server, keys) as load:
        load.wait_for(200)
        (worker,) = workers(server)
        os.kill(worker, signal.SIGKILL)
        killed_at = time.monotonic()
        wait_until(lambda: len(workers(server)) == 2)
        load.wait_for(20)

    logged = set(logged_paths())
    missing = [at for path, at in load.answered.items() if path not in logged]
    if log == "durable":
        assert missing == []
    else:
        assert len(missing) <= 500 or min(missing) >= killed_at - 1


def test_rows_of_other_exit_handlers_are_written():
    """They are called in reverse order: this one after the log's."""
    run("-c", WRITING + "atexit.register(write, '/at exit'); write('/before')")

    assert logged_paths() == ["/before", "/at exit"]


def test_forked_process_leaves_the_rows_of_its_parent_alone():
    program = """
write('/parent')
child = os.fork()
if child:
    assert os.waitpid(child, 0)[1] == 0
    write('/parent, later')
else:
    assert len(threading.enumerate()) == 1
    write('/child')
"""
    run("-c", WRITING + program)

    assert sorted(logged_paths()) == ["/child", "/parent", "/parent, later"]
