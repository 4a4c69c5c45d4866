"""Servers that are asked to stop leave no request out, and neither do programs that end."""

import time

import pytest

from .conftest import logged_paths
from .processes import ASGI, GUNICORN, WSGI, load_on, run, serving

pytestmark = [pytest.mark.server, pytest.mark.django_db(transaction=True)]

SERVERS = {
    "sync": (*GUNICORN, "--workers", "2", WSGI),
    "preload": (*GUNICORN, "--workers", "2", "--preload", WSGI),
    "threads": (*GUNICORN, "--worker-class", "gthread", "--threads", "4", WSGI),
    "uvicorn worker": (*GUNICORN, "--worker-class", "uvicorn_worker.UvicornWorker", ASGI),
    "uvicorn": ("-m", "uvicorn", "--fd", "{fd}", "--no-access-log", ASGI),
}

REQUESTS = """
from django.contrib.auth import get_user_model
from django.test import Client
from frappe_tokens.keys import generate_keys

user = get_user_model()._default_manager.get()
headers = {"Authorization": f"token {generate_keys(user).token}"}
client = Client(SERVER_NAME="localhost", headers=headers)
for number in range(700):
    assert client.get(f"/api/resource/ToDo/{number}").status_code == 403
"""

WRITING = """
import atexit, os, sys, threading
import django

django.setup()

from tests.request_log.conftest import an_entry


def write(path):
    from frappe_tokens.request_log import current_sink

    current_sink().write(an_entry(path))

"""


@pytest.mark.parametrize("log", ["durable", "buffered"])
@pytest.mark.parametrize("server", SERVERS)
def test_a_graceful_stop_leaves_no_request_out(keys, server, log):
    with serving(log, *SERVERS[server]) as running, load_on(running, keys) as load:
        load.wait_for(50)
        running.stop()
    assert set(load.answered) <= set(logged_paths())


def test_a_command_leaves_no_request_out(keys):
    run("manage.py", "shell", "-c", REQUESTS)
    assert logged_paths() == [f"/api/resource/ToDo/{number}" for number in range(700)]


def test_rows_of_the_very_end_are_written():
    """Handlers of the exit are called in the reverse order: this one after that of the log."""
    run("-c", WRITING + "atexit.register(write, '/at the end'); write('/before')")
    assert logged_paths() == ["/before", "/at the end"]


def test_a_locked_table_delays_the_end_but_for_a_moment(trouble):
    began = time.monotonic()
    with trouble():
        printed = run("-c", WRITING + "write('/lost')")
    assert time.monotonic() - began < 20
    assert "1 requests are not in the request log." in printed


def test_a_forked_process_leaves_the_rows_of_its_parent_alone():
    program = """
write('/of the parent')
child = os.fork()
if child:
    assert os.waitpid(child, 0)[1] == 0
    write('/of the parent, later')
else:
    assert len(threading.enumerate()) == 1
    write('/of the child')
"""
    run("-c", WRITING + program)
    assert sorted(logged_paths()) == ["/of the child", "/of the parent", "/of the parent, later"]
