"""What goes wrong at every request is logged once a minute."""

import logging

import pytest

from frappe_tokens import logs
from frappe_tokens.logs import RateLimitedLogger

logger = logging.getLogger("tests.logs")


@pytest.fixture
def clock(monkeypatch):
    """The time that the loggers see (s)."""
    now = [0.0]
    monkeypatch.setattr(logs.time, "monotonic", lambda: now[0])
    return now


def test_logs_the_same_once_a_minute(clock, caplog):
    log = RateLimitedLogger(logger, "%d are lost.")

    for now in (0.0, 1.0, 59.9, 60.0, 61.0):
        clock[0] = now
        log(int(now))

    assert [record.getMessage() for record in caplog.records] == ["0 are lost.", "60 are lost."]
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    assert not any(record.exc_info for record in caplog.records)


def test_shows_the_current_exception(clock, caplog):
    try:
        raise RuntimeError("why")
    except RuntimeError:
        RateLimitedLogger(logger, "It went wrong.")()
    assert "RuntimeError: why" in caplog.text


def test_broken_handler_changes_nothing(caplog):
    class Broken(logging.Handler):
        def emit(self, record):
            raise OSError("The other side is gone.")

    broken = Broken()
    logger.addHandler(broken)
    try:
        RateLimitedLogger(logger, "It went wrong.")()
    finally:
        logger.removeHandler(broken)
    assert not caplog.records
