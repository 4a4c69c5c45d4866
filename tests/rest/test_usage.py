"""``GET keys/{api_key}/usage/``."""

import time
from datetime import timedelta

import pytest
import time_machine
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey, ApiRequestLog

from ..conftest import PASSWORD
from ..log_tables import ELSEWHERE, locked_log, log_elsewhere, log_gone
from ..request_log.population import entry, log, utc
from .conftest import assert_no_secret, assert_refused, assert_wrong, send

pytestmark = pytest.mark.django_db

NOON = utc(2026, 11, 22, 12)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def log_without_these_requests(settings):
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": "null"}
    with time_machine.travel(NOON, tick=False):
        yield


def usage(by, key, query=""):
    return send(by, "GET", f"{key.api_key}/usage/{query}")


def test_requests_are_counted_by_day_and_outcome(manager, keys):
    mine = {"api_key": keys.api_key}
    log(
        entry(NOON, **mine),
        entry(NOON, **mine, outcome="key_expired"),
        entry(NOON, **mine),
        entry(NOON - 2 * DAY, **mine, outcome="other"),
        entry(NOON - 3 * DAY, **mine),
        entry(NOON),
    )
    ApiKey.objects.filter(api_key=keys.api_key).update(last_used_at=NOON)

    response = usage(manager, keys, "?days=3")

    assert response.status_code == 200
    assert response.json() == {
        "api_key": keys.api_key,
        "days": 3,
        "from": "2026-11-20",
        "to": "2026-11-22",
        "time_zone": "UTC",
        "total": 4,
        "refused": 1,
        "last_used_at": "2026-11-22T12:00:00Z",
        "usage": [
            {"date": "2026-11-20", "total": 1, "outcomes": {"other": 1}},
            {"date": "2026-11-21", "total": 0, "outcomes": {}},
            {"date": "2026-11-22", "total": 3, "outcomes": {"accepted": 2, "key_expired": 1}},
        ],
    }
    assert_no_secret(response)


@pytest.mark.parametrize(
    ("query", "days", "first"),
    [
        ("", 30, "2026-10-24"),
        ("/", 30, "2026-10-24"),
        ("?days=1", 1, "2026-11-22"),
        ("/?days=366&unknown=1", 366, "2025-11-22"),
    ],
)
def test_days_without_requests_are_included(keys, query, days, first):
    other = generate_keys(keys.instance.user, name="other")

    body = send(keys, "GET", f"{other.api_key}/usage{query}").json()

    assert len(body["usage"]) == body["days"] == days
    assert body["usage"][0]["date"] == body["from"] == first
    assert (body["total"], body["last_used_at"]) == (0, None)


@pytest.mark.parametrize(
    ("query", "time_zone", "totals"),
    [("", "UTC", [1, 0]), ("&time_zone=Asia/Kolkata", "Asia/Kolkata", [0, 1])],
)
def test_days_start_in_the_given_time_zone(keys, settings, query, time_zone, totals):
    settings.TIME_ZONE = "America/Lima"
    log(entry(utc(2026, 11, 21, 18, 30), api_key=keys.api_key))

    body = usage(keys, keys, f"?days=2{query}").json()

    assert body["time_zone"] == time_zone
    assert [day["total"] for day in body["usage"]] == totals


DAYS = ["0", "-1", "367", "", "week", "1.5", "1e1", "%00", "NaN", "9" * 5000]
ZONES = ["", "Nowhere", "America", "/etc/passwd", "../passwd", "%00", "z" * 5000, "%ED%A0%80"]


def test_unusable_values_are_refused(keys):
    for days in DAYS:
        assert_wrong(usage(keys, keys, f"?days={days}"), "days")
    for zone in ZONES:
        assert_wrong(usage(keys, keys, f"?time_zone={zone}"), "time_zone", sentence="Asia/Kolkata")


def test_usage_is_only_for_those_who_see_the_key(manager, keys, make_user):
    read_only = generate_keys(keys.instance.user, name="read-only", read_only=True)
    scoped = generate_keys(keys.instance.user, name="scoped", scopes=["todos"])
    stranger = generate_keys(make_user("grace"))

    for by in (keys, manager, read_only):
        assert usage(by, keys).status_code == 200
    assert_refused(usage(stranger, keys), 404, "no_key")
    assert_refused(usage(read_only, manager), 404, "no_key")
    assert_refused(usage(scoped, keys), 403, "insufficient_scope")
    assert_refused(usage(None, keys), 401, "not_authenticated")


def test_revoked_key_with_a_slash_has_its_usage(manager, user):
    revoke(ApiKey.objects.create(user=user, name="imported", api_key="a/b"))
    log(entry(NOON, api_key="a/b", outcome="key_revoked"))

    assert send(manager, "GET", "a/b/usage").json()["refused"] == 1


class Replicas:
    def db_for_read(self, model, **hints):
        return "replica" if model is ApiRequestLog else "default"


@pytest.mark.django_db(transaction=True, databases=["default", "replica"])
def test_requests_are_counted_on_a_replica(keys, settings):
    settings.DATABASE_ROUTERS = [Replicas()]
    with CaptureQueriesContext(connections["replica"]) as queries:
        assert usage(keys, keys).status_code == 200
    assert len([query for query in queries if "SUM(" in query["sql"]]) == 1


def assert_log_unavailable(response, caplog):
    assert_refused(response, 503, "service_unavailable", "The request log can't be read.")
    assert response.headers["Retry-After"] == "5"
    assert "The request log can't be read." in caplog.text


@pytest.mark.django_db(transaction=True)
def test_missing_log_is_503(manager, keys, caplog):
    with log_gone():
        assert_log_unavailable(usage(manager, keys), caplog)

    assert usage(manager, keys).status_code == 200


@pytest.mark.django_db(transaction=True, databases=["default", ELSEWHERE])
def test_locked_log_is_not_waited_for(client, keys, settings, tmp_path, caplog):
    assert client.login(username="ada", password=PASSWORD)
    # On SQLite, a lock is on the whole file.
    with log_elsewhere(settings, tmp_path):
        server = connection.vendor != "sqlite"
        settings.DATABASE_ROUTERS = [] if server else settings.DATABASE_ROUTERS
        with locked_log("default" if server else ELSEWHERE):
            began = time.monotonic()
            response = client.get(f"/api/keys/{keys.api_key}/usage/")
            waited = time.monotonic() - began

        assert waited < 4
        assert_log_unavailable(response, caplog)
        assert client.get(f"/api/keys/{keys.api_key}/usage/").status_code == 200
