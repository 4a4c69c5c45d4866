import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.db.models.signals import post_delete
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from frappe_tokens.models import ApiRequestLog

from ..request_log.population import entry, log, logged, utc
from ..test_parallel import at_once

NOW = utc(2026, 11, 22, 12)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)

pytestmark = pytest.mark.django_db


@pytest.fixture
def at_noon():
    with time_machine.travel(NOW, tick=False):
        yield


def run(*arguments, **options):
    out, err = StringIO(), StringIO()
    call_command("prune_request_log", *arguments, stdout=out, stderr=err, **options)
    return out.getvalue(), err.getvalue()


def log_old(count):
    """So many of a year ago and before, a second apart."""
    start = timezone.now() - 365 * DAY
    log(*(entry(start - number * SECOND) for number in range(count)))


def test_deletes_what_is_older(at_noon):
    kept = [NOW - 90 * DAY, NOW - 90 * DAY + TICK, NOW, NOW + DAY]
    log(*map(entry, [NOW - 90 * DAY - TICK, NOW - 400 * DAY, *kept]))
    assert run("--older-than", "90d") == (
        "Deleted 2 requests from before 2026-08-24 12:00 UTC.\n",
        "",
    )
    assert logged() == kept
    assert run("--older-than", "90d")[0].startswith("Deleted 0 requests ")


def test_tells_of_one(at_noon):
    log(entry(NOW - DAY))
    assert (
        run(older_than=timedelta(hours=1))[0]
        == "Deleted 1 request from before 2026-11-22 11:00 UTC.\n"
    )


def test_moments_without_a_time_zone(at_noon, settings):
    settings.USE_TZ = False
    log(entry(NOW.replace(tzinfo=None) - DAY))
    assert run("--older-than", "1h")[0] == "Deleted 1 request from before 2026-11-22 11:00.\n"


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ([], "Enter a minimum age, for example --older-than 90d."),
        (["--older-than", "0d"], "That would delete the whole log."),
        (["--older-than", "-1d"], "--older-than"),
        (["--older-than", "long"], "'long' is not a duration"),
        (["--older-than", "1d", "--batch-size", "0"], "a number from 1 to 1000000"),
        (["--older-than", "1d", "--batch-size", "many"], "a number from 1 to 1000000"),
        (["--older-than", "1d", "--batch-size", "1000001"], "a number from 1 to 1000000"),
    ],
)
def test_refuses_what_it_does_not_understand(arguments, what):
    log_old(1)
    with pytest.raises(CommandError, match=what):
        run(*arguments)
    assert len(logged()) == 1


@pytest.mark.parametrize("size", [1, 4, 5, 7, 100])
def test_deletes_all_whatever_the_size_of_a_batch(size):
    log_old(10)
    assert run("--older-than", "1d", "--batch-size", str(size))[0].startswith("Deleted 10 ")
    assert logged() == []


def test_requests_of_one_moment_are_more_than_a_batch(at_noon):
    log(*[entry(NOW - DAY)] * 25)
    assert run("--older-than", "1h", "--batch-size", "10")[0].startswith("Deleted 25 ")
    assert logged() == []


def test_oldest_go_first():
    log_old(30)
    moments = logged()
    with failing_at("DELETE", 3), pytest.raises(CommandError):
        run("--older-than", "1d", "--batch-size", "10")
    assert logged() == moments[20:]


def test_many_take_the_same_statements_for_each_batch():
    log_old(5000)
    log(entry(timezone.now()))

    def statements():
        with CaptureQueriesContext(connection) as captured:
            out, _ = run("--older-than", "1d", "--batch-size", "500")
        assert out.startswith("Deleted 2500 ")
        return len([1 for query in captured if query["sql"].split()[0] in ("SELECT", "DELETE")])

    middle = logged()[2500]
    ApiRequestLog.objects.filter(at__gte=middle, at__lt=timezone.now() - DAY).update(
        at=timezone.now()
    )
    assert statements() == 2 * 5 + 1
    assert len(logged()) == 2501


def test_statement_takes_no_more_parameters_than_the_database_does(
    monkeypatch,
):
    monkeypatch.setattr(type(connection.features), "max_query_params", 13)
    log_old(45)
    with CaptureQueriesContext(connection) as captured:
        assert run("--older-than", "1d", "--batch-size", "20")[0].startswith("Deleted 45 ")
    deletes = [query["sql"] for query in captured if query["sql"].startswith("DELETE")]
    assert len(deletes) == 5
    assert logged() == []


def test_reads_nothing_for_those_who_listen_to_deletions():
    def listener(**told):
        pytest.fail("deleted rows were read")

    post_delete.connect(listener)
    try:
        log_old(10)
        run("--older-than", "1d")
    finally:
        post_delete.disconnect(listener)
    assert logged() == []


def test_ends_where_the_database_keeps_rows():
    log_old(10)

    def keep(execute, sql, params, *more):
        if sql.startswith("DELETE"):
            sql, params = "DELETE FROM frappe_tokens_apirequestlog WHERE 1 = 0", ()
        return execute(sql, params, *more)

    with connection.execute_wrapper(keep):
        assert run("--older-than", "1d", "--batch-size", "4")[0].startswith("Deleted 0 ")
    assert len(logged()) == 10


@contextmanager
def failing_at(verb, number, error=None):
    """Fails the statement of this number, after it was executed."""
    seen = []

    def fail(execute, sql, *more):
        result = execute(sql, *more)
        if sql.startswith(verb):
            seen.append(sql)
            if len(seen) == number:
                raise error or OperationalError("deadlock detected\nDETAIL: of a process\n")
        return result

    with connection.execute_wrapper(fail):
        yield


# Each batch by itself


@pytest.mark.django_db(transaction=True)
def test_batches_are_committed_one_by_one():
    log_old(50)

    def count_elsewhere():
        (counts, errors) = at_once(lambda: len(logged()))
        assert errors == []
        return int(counts[0])

    left = []

    def look(execute, sql, *more):
        if sql.startswith("SELECT"):
            left.append(count_elsewhere())
        return execute(sql, *more)

    with connection.execute_wrapper(look):
        run("--older-than", "1d", "--batch-size", "20")
    assert left == [50, 30, 10, 0]


@pytest.mark.django_db(transaction=True)
def test_error_of_the_database_undoes_one_batch_and_says_what_was_done():
    log_old(50)
    with failing_at("DELETE", 3), pytest.raises(CommandError) as raised:
        run("--older-than", "1d", "--batch-size", "20")
    assert str(raised.value) == (
        "The database failed to delete rows: deadlock detected\nDETAIL: of a process\n"
        "Deleted 40 requests; run it again to continue."
    )
    assert len(logged()) == 10
    assert run("--older-than", "1d")[0].startswith("Deleted 10 ")


@pytest.mark.django_db(transaction=True)
def test_ctrl_c_undoes_one_batch_and_says_what_was_done():
    log_old(50)
    out, err = StringIO(), StringIO()
    with failing_at("DELETE", 2, KeyboardInterrupt()), pytest.raises(SystemExit) as raised:
        call_command("prune_request_log", older_than=DAY, batch_size=20, stdout=out, stderr=err)
    assert raised.value.code == 130
    assert out.getvalue() == ""
    assert err.getvalue() == "Interrupted. Deleted 20 requests; run it again to continue.\n"
    assert len(logged()) == 30
    assert run("--older-than", "1d")[0].startswith("Deleted 30 ")


INTERRUPTED = """
import os, signal, sys
from django.conf import settings
import django
django.setup()
settings.DATABASES["default"]["NAME"] = sys.argv[1]
from django.core.management import call_command
from django.db import connection

count = 0
def ctrl_c(execute, sql, *more):
    global count
    count += sql.startswith("DELETE")
    if count == 3:
        os.kill(os.getpid(), signal.SIGINT)
    return execute(sql, *more)

with connection.execute_wrapper(ctrl_c):
    call_command("prune_request_log", "--older-than", "1d", "--batch-size", "500")
"""


@pytest.mark.django_db(transaction=True)
def test_real_ctrl_c_ends_the_process_and_running_it_again_goes_on():
    log_old(5000)
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(connection.settings_dict["NAME"])],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        # Whoever ran the tests may have chosen to ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert done.stderr == "Interrupted. Deleted 1000 requests; run it again to continue.\n"
    assert (done.returncode, done.stdout) == (130, "")
    assert len(logged()) == 4000
    assert run("--older-than", "1d")[0].startswith("Deleted 4000 ")


@pytest.mark.parallel
@pytest.mark.django_db(transaction=True)
def test_several_at_once_beside_new_requests():
    log_old(2000)
    new = timezone.now() + DAY

    def write():
        for number in range(100):
            log(entry(new + number * SECOND))
        return ""

    def prune():
        return run("--older-than", "1d", "--batch-size", "50")

    results, errors = at_once(prune, prune, write, prune, write)
    assert errors == []
    assert len(logged()) == 200
    deleted = [int(out.split()[1]) for out, *_ in filter(None, results)]
    assert sum(deleted) == 2000


# The progress bar


def test_shows_progress(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("LINES", "24")
    log_old(5)
    controller, terminal = os.openpty()
    with os.fdopen(controller, "rb", buffering=0) as screen, os.fdopen(terminal, "w") as err:
        run_on(err, "--verbosity", "0")
        log_old(5)
        run_on(err)
        err.write("END")
        err.flush()
        shown = ""
        while not shown.endswith("END"):
            shown += screen.read(65_536).decode()
    assert shown.split("\r") == [
        "",
        "[             ] 0/5",
        "[#####        ] 2/5",
        "[##########   ] 4/5",
        "[#############] 5/5",
        " " * 19,
        "END",
    ]


def run_on(terminal, *arguments):
    call_command(
        "prune_request_log",
        "--older-than=1d",
        "--batch-size=2",
        *arguments,
        stdout=StringIO(),
        stderr=terminal,
    )
