"""How the requests in the log are counted."""

from contextlib import contextmanager
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.db import connection
from django.utils import timezone

from frappe_tokens.models import ApiKey, ApiRequestLog
from frappe_tokens.request_log import usage
from frappe_tokens.request_log.usage import (
    Day,
    latest_of,
    requests_of_key,
    requests_of_user,
    usage_of,
)

from .client import DAY, HOUR, TICK
from .request_log.population import entry, log, utc
from .sources.models import Drone, Robot

pytestmark = pytest.mark.django_db

NOON = utc(2026, 11, 22, 12)
TODAY = NOON.date()


@pytest.fixture(autouse=True)
def at_noon():
    with time_machine.travel(NOON, tick=False):
        yield


def everything():
    return ApiRequestLog.objects.all()


def totals(**arguments):
    return [day.total for day in usage_of(everything(), **arguments).days]


def test_counts_by_day_and_outcome(django_assert_num_queries):
    log(
        entry(NOON),
        entry(NOON, outcome="key_expired"),
        entry(NOON - DAY, outcome="other"),
        entry(NOON - DAY, outcome="other"),
        entry(NOON - 3 * DAY),
    )

    with django_assert_num_queries(1):
        counted = usage_of(everything(), 5)

    assert counted.days == [
        Day(date(2026, 11, 18), {}),
        Day(date(2026, 11, 19), {"accepted": 1}),
        Day(date(2026, 11, 20), {}),
        Day(date(2026, 11, 21), {"other": 2}),
        Day(date(2026, 11, 22), {"accepted": 1, "key_expired": 1}),
    ]
    assert counted.outcomes == {"accepted": 2, "other": 2, "key_expired": 1}
    assert (counted.total, counted.refused) == (5, 1)


def test_counts_thirty_days_until_today_by_default():
    log(entry(NOON), entry(NOON - DAY), entry(NOON - 2 * DAY))

    days = usage_of(everything()).days

    assert (len(days), days[0].date, days[-1].date) == (30, date(2026, 10, 24), TODAY)
    assert totals(days=2, until=TODAY - DAY) == [1, 1]
    assert totals(days=2, until=TODAY + DAY) == [1, 0]


@pytest.mark.parametrize("days", [1, 2, 7, 366])
def test_days_end_at_midnight(days):
    midnight = utc(2026, 11, 22)
    starts = [midnight - number * DAY for number in range(days - 1, -1, -1)]
    ends = [start + DAY - TICK for start in starts]
    log(*map(entry, [*starts, *ends, starts[0] - TICK, ends[-1] + TICK]))

    assert totals(days=days) == [2] * days


@pytest.mark.parametrize("days", [-1, 0, 367, 10**9])
def test_other_numbers_of_days_are_refused(days):
    with pytest.raises(ValueError, match=f"1 to 366 days, not over {days}"):
        usage_of(everything(), days)


@pytest.mark.parametrize("until", [date.min, date(1, 1, 30), date.max])
def test_days_outside_the_calendar_are_refused(until):
    for zone in ("UTC", "Asia/Kolkata", "America/Lima"):
        with pytest.raises(ValueError, match=f"no 31 days that end on {until}"):
            usage_of(everything(), 31, until, ZoneInfo(zone))


# Time zones, whether or not the database knows them


def test_days_are_those_of_the_current_or_another_time_zone():
    log(entry(utc(2026, 11, 21, 18, 29)), entry(utc(2026, 11, 21, 18, 30)))

    assert totals(days=2) == [2, 0]
    assert totals(days=2, zone=ZoneInfo("Asia/Kolkata")) == [1, 1]
    with timezone.override(ZoneInfo("Asia/Kolkata")):
        assert totals(days=2) == [1, 1]
        assert totals(days=2, zone=ZoneInfo("UTC")) == [2, 0]
    with timezone.override(ZoneInfo("Pacific/Kiritimati")):
        assert usage_of(everything(), 1).days[0].date == TODAY + DAY


@pytest.mark.parametrize(
    ("zone", "day", "begins", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), utc(2026, 3, 28, 23), 23),
        ("Europe/Berlin", date(2026, 10, 25), utc(2026, 10, 24, 22), 25),
        # No midnight: the clocks go from 23:59 to 1:00.
        ("America/Sao_Paulo", date(2018, 11, 4), utc(2018, 11, 4, 3), 23),
        # Midnight twice: from 0:59 back to 0:00.
        ("America/Havana", date(2026, 11, 1), utc(2026, 11, 1, 4), 25),
        # A day that didn't exist.
        ("Pacific/Apia", date(2011, 12, 30), utc(2011, 12, 30, 10), 0),
        ("Australia/Lord_Howe", date(2026, 4, 5), utc(2026, 4, 4, 13), 24.5),
    ],
)
def test_days_on_which_clocks_change_are_shorter_or_longer(zone, day, begins, hours):
    ends = begins + timedelta(hours=hours)
    log(*map(entry, [begins - TICK, begins, ends - TICK, ends]))
    on_it = 2 if hours else 0
    beside = 2 - on_it // 2
    assert totals(days=3, until=day + DAY, zone=ZoneInfo(zone)) == [beside, on_it, beside]


def test_days_without_use_tz_are_those_of_the_server(settings):
    settings.USE_TZ = False
    settings.TIME_ZONE = "Asia/Kolkata"
    log(entry(datetime(2026, 11, 21, 23, 59)), entry(datetime(2026, 11, 22)))

    with timezone.override(ZoneInfo("America/Lima")):
        assert totals(days=2) == [1, 1]
        assert latest_of(everything())[0] == datetime(2026, 11, 22)
        assert totals(days=2, zone=ZoneInfo("UTC")) == [2, 0]


def test_requests_of_a_key_are_those_of_its_sources(user, settings):
    names = {"Robot": "sources.Robot", "Machine": "sources.Robot", "Drone": "sources.Drone"}
    settings.FRAPPE_TOKENS = {"SOURCES": names}
    robot = Robot.objects.create(user=user, api_key="same", serial_number=1)
    drone = Drone.objects.create(user=user, api_key="drone", serial_number=2)
    key = ApiKey.objects.create(user=user, api_key="same")
    log(
        *(entry(NOON, api_key="same", source=name) for name in ("User", "Robot", "Machine", "")),
        *(entry(NOON, api_key="drone", source=name) for name in ("User", "Robot", "Drone")),
        entry(NOON, api_key="SAME", source="User"),
    )

    def total(key):
        return usage_of(requests_of_key(key)).total

    assert (total(key), total(robot)) == (1, 2)
    # A model that extends that of another source
    assert (total(drone), total(drone.robot_ptr)) == (2, 2)
    settings.FRAPPE_TOKENS = {}
    assert total(robot) == 0


def test_requests_of_a_user_are_those_of_all_keys(user):
    log(
        entry(NOON, user_id=user.pk),
        entry(NOON, user_id=user.pk, api_key="another", outcome="key_expired"),
        entry(NOON, user_id=user.pk + 1),
        entry(NOON),
    )

    assert usage_of(requests_of_user(user)).outcomes == {"accepted": 1, "key_expired": 1}


def test_latest_request_and_most_frequent_paths(django_assert_num_queries, monkeypatch):
    assert latest_of(everything()) == (None, [])
    monkeypatch.setattr(usage, "SAMPLE", 6)
    paths = ["/old", "/old", "/old", "/a", "/b", "/b", "/c", "/b", "/a"]
    log(*(entry(NOON + number * DAY, path=path) for number, path in enumerate(paths)))

    with django_assert_num_queries(1):
        latest = latest_of(everything(), 2)

    assert latest == (NOON + 8 * DAY, [("/b", 3), ("/a", 2)])


@contextmanager
def plans():
    """The plans of the queries."""
    found = []
    explain = "EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN "

    def explain_first(execute, sql, params, many, context):
        execute(explain + sql, params, many, context)
        found.append(str(context["cursor"].fetchall()))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain_first):
        yield found


INDEX_ONLY = {"postgresql": "Index Only Scan", "sqlite": "COVERING INDEX", "mysql": "Using index"}
LEARN = {"postgresql": "VACUUM ANALYZE ", "sqlite": "ANALYZE ", "mysql": "ANALYZE TABLE "}


@pytest.mark.django_db(transaction=True)
def test_counting_reads_only_an_index(user):
    long = "x" * 150
    log(
        *(
            entry(
                NOON - number * HOUR,
                user_id=user.pk + number % 20,
                api_key=f"ftk_{number % 20}",
                outcome="accepted" if number % 7 else "key_expired",
                user_agent=long,
                path=f"/{long}",
            )
            for number in range(6000)
        )
    )
    with connection.cursor() as cursor:
        cursor.execute(LEARN[connection.vendor] + ApiRequestLog._meta.db_table)
        if connection.vendor == "mysql":
            cursor.fetchall()
    key = ApiKey(user=user, api_key="ftk_1")
    counts = [
        ("log_key", requests_of_key(key)),
        ("log_user", requests_of_user(user)),
        ("log_outcome", everything().filter(outcome="key_expired")),
        ("log_", everything()),  # by time; SQLite takes the one by outcome, once for each
    ]
    for index, requests in counts:
        with plans() as found:
            assert usage_of(requests).total > 20
        (plan,) = found
        assert INDEX_ONLY[connection.vendor] in plan, plan
        assert f"frappe_tokens_{index}" in plan
