"""The clock is set forward or back while the process runs.

The limit of failures and the rates of keys have tests of their own.
"""

import time

import pytest
import time_machine

from frappe_tokens.models import ApiRequestLog
from frappe_tokens.request_log.buffered import BufferedSink

from .client import HOUR, IN_A_MINUTE, ask
from .request_log.conftest import an_entry, logged_paths, wait_until

BOTH_WAYS = pytest.mark.parametrize("step", [-HOUR, HOUR], ids=["back", "forward"])


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(IN_A_MINUTE) as clock:
        yield clock


@pytest.mark.django_db(transaction=True)
@BOTH_WAYS
def test_buffered_log_is_still_written_within_a_second(as_in_production, clock, step):
    sink = BufferedSink()
    try:
        sink.write(an_entry("/before/"))
        wait_until(lambda: logged_paths() == ["/before/"])
        clock.shift(step)
        began = time.monotonic()
        sink.write(an_entry("/after/"))
        wait_until(lambda: logged_paths() == ["/before/", "/after/"])
        assert time.monotonic() - began < 10  # and not an hour
    finally:
        sink.close()


@pytest.mark.django_db
@BOTH_WAYS
def test_duration_in_the_log_is_that_of_the_request(keys, clock, step, monkeypatch):
    def stepping(self):
        clock.shift(step)
        return "ada"

    monkeypatch.setattr(type(keys.instance.user), "get_username", stepping)

    assert ask(keys).status_code == 200

    assert 0 <= ApiRequestLog.objects.get().duration_ms < 60_000


@pytest.mark.django_db(transaction=True)
def test_use_is_recorded_again_after_the_clock_was_set_back(keys, clock):
    assert ask(keys).status_code == 200
    clock.move_to(IN_A_MINUTE - HOUR)

    assert ask(keys).status_code == 200

    keys.instance.refresh_from_db()
    assert keys.instance.last_used_at is not None
    assert keys.instance.last_used_at < IN_A_MINUTE - HOUR / 2
