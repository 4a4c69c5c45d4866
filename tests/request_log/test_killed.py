"""A worker is killed in the midst of its work: what is on record, and what is not."""

import os
import re
import signal
import time

import pytest

from .conftest import logged_paths, wait_until
from .processes import GUNICORN, WSGI, load_on, serving

pytestmark = [pytest.mark.server, pytest.mark.django_db(transaction=True)]

THREADS = (*GUNICORN, "--worker-class", "gthread", "--threads", "4", WSGI)


def workers(server):
    """The processes that ``server`` has started so far."""
    return [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", "".join(server.said))]


def kill_a_worker_under_load(log, keys, number):
    """Kill the only worker after ``number`` answers.

    Returns:
        Which paths were answered, and when; and when it was killed.
    """
    with serving(log, *THREADS) as server, load_on(server, keys) as load:
        load.wait_for(number)
        (worker,) = workers(server)
        os.kill(worker, signal.SIGKILL)
        killed_at = time.monotonic()
        # The next one goes on.
        wait_until(lambda: len(workers(server)) == 2)
        load.wait_for(50)
    return load.answered, killed_at


def test_durable_every_answered_request_is_on_record(keys):
    answered, _ = kill_a_worker_under_load("durable", keys, 300)
    assert set(answered) <= set(logged_paths())


def test_buffered_a_second_or_500_rows_are_missing_at_the_most(keys):
    answered, killed_at = kill_a_worker_under_load("buffered", keys, 800)
    logged = set(logged_paths())
    missing = [at for path, at in answered.items() if path not in logged]
    assert len(missing) <= 500 or min(missing) >= killed_at - 1
    assert all(at <= killed_at + 1 for at in missing)
