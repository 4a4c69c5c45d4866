import re
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import pytest
import time_machine
from django.core.management import CommandError
from django.db import OperationalError, connection
from django.utils import timezone

from ..request_log.population import entry, log, logged, utc
from ..test_parallel import at_once
from . import running

NOW = utc(2026, 11, 22, 12)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)

run = partial(running.run, "prune_request_log")

pytestmark = pytest.mark.django_db


@pytest.fixture
def at_noon():
    with time_machine.travel(NOW, tick=False):
        yield


def prune(size=2000):
    """Deletes what is older than a day, and returns how many requests these were."""
    out, _ = run("--older-than", "1d", "--batch-size", str(size))
    assert out.startswith("Deleted ")
    return int(out.split()[1])


def log_old(count):
    """Logs requests of a year ago and before, a second apart."""
    start = timezone.now() - 365 * DAY
    log(*(entry(start - number * SECOND) for number in range(count)))


@contextmanager
def after_statement(verb, number, act):
    """Calls ``act`` after a statement."""
    seen = []

    def watch(execute, sql, *more):
        result = execute(sql, *more)
        if sql.startswith(verb):
            seen.append(sql)
            if len(seen) == number:
                act()
        return result

    with connection.execute_wrapper(watch):
        yield


def fail(error=None):
    raise error or OperationalError("deadlock detected\nDETAIL: of a process\n")


def test_deletes_older_requests(at_noon):
    kept = [NOW - 90 * DAY, NOW - 90 * DAY + TICK, NOW, NOW + DAY]
    log(*map(entry, [NOW - 90 * DAY - TICK, NOW - 400 * DAY, *kept]))

    out, _ = run("--older-than", "90d")

    assert out == "Deleted 2 requests from before 2026-08-24 12:00 UTC.\n"
    assert logged() == kept


@pytest.mark.parametrize("use_tz", [True, False])
def test_can_be_called_from_python(at_noon, settings, use_tz):
    settings.USE_TZ = use_tz
    log(entry(timezone.now() - DAY))
    out, _ = running.run("prune_request_log", older_than=timedelta(hours=1))
    zone = " UTC" if use_tz else ""
    assert out == f"Deleted 1 request from before 2026-11-22 11:00{zone}.\n"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "Enter a minimum age, for example --older-than 90d."),
        (["--older-than", "0d"], "Enter a minimum age, for example --older-than 90d."),
        (["--older-than", "long"], "'long' is not a duration"),
        (["--older-than", "1d", "--batch-size", "0"], "--batch-size must be 1 to 1000000"),
        (["--older-than", "1d", "--batch-size", "9" * 20], "--batch-size must be 1 to 1000000"),
    ],
)
def test_refuses_wrong_arguments(arguments, problem):
    log_old(1)
    assert problem in running.error_of("prune_request_log", *arguments)
    assert len(logged()) == 1


@pytest.mark.parametrize("size", [1, 4, 5, 7, 100])
@pytest.mark.parametrize("moments", [1, 10], ids=["one moment", "ten moments"])
def test_deletes_everything_with_any_batch_size(size, moments):
    old = timezone.now() - 365 * DAY
    log(*(entry(old - number % moments * SECOND) for number in range(10)))

    assert prune(size) == 10

    assert logged() == []


def test_ends_if_the_database_keeps_rows():
    log_old(10)

    def keep(execute, sql, params, *more):
        if sql.startswith("DELETE"):
            sql, params = "DELETE FROM frappe_tokens_apirequestlog WHERE 1 = 0", ()
        return execute(sql, params, *more)

    with connection.execute_wrapper(keep):
        assert prune(4) == 0
    assert len(logged()) == 10


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (None, 1, "The database failed: deadlock detected\nDETAIL: of a process"),
        (KeyboardInterrupt(), 130, "Interrupted."),
    ],
)
def test_failure_undoes_only_the_last_batch(error, status, reason):
    log_old(50)
    moments = logged()
    with after_statement("DELETE", 3, partial(fail, error)), pytest.raises(CommandError) as raised:
        prune(20)
    assert str(raised.value) == f"{reason}\nDeleted 40 requests; run it again to continue."
    assert raised.value.returncode == status
    assert logged() == moments[40:]
    assert prune() == 10


@pytest.mark.parallel
@pytest.mark.django_db(transaction=True)
def test_runs_in_parallel_while_requests_are_logged():
    log_old(2000)
    new = timezone.now() + DAY

    def write():
        for number in range(100):
            log(entry(new + number * SECOND))
        return 0

    deleted, errors = at_once(*[partial(prune, 50)] * 3, write, write)

    assert errors == []
    assert len(logged()) == 200
    assert sum(deleted) == 2000


def test_shows_progress():
    log_old(5)

    _, shown = running.run_on_terminal("prune_request_log", "--older-than=1d", "--batch-size=2")

    assert re.findall(r"(\d)/5", shown) == ["0", "2", "4", "5"]
