"""``GET keys/{api_key}/usage/``."""

import math
import time
from datetime import timedelta

import pytest
import time_machine
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from frappe_tokens.api import keys as api_keys
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
def nothing_on_record(settings):
    """At noon, and without these requests themselves being logged."""
    settings.FRAPPE_TOKENS = {"REQUEST_LOG": "null"}
    with time_machine.travel(NOON, tick=False):
        yield


def usage(by, key, query=""):
    return send(by, "GET", f"{key.api_key}/usage/{query}")


def test_tells_the_requests_of_each_day_by_outcome(manager, keys):
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


@pytest.mark.parametrize("slash", ["", "/"])
def test_tells_thirty_days_of_a_key_without_use(keys, slash):
    other = generate_keys(keys.instance.user, name="other")
    response = send(keys, "GET", f"{other.api_key}/usage{slash}")
    assert response.status_code == 200
    body = response.json()
    assert (body["days"], body["total"], body["last_used_at"]) == (30, 0, None)
    assert [len(body["usage"]), body["usage"][0]["date"]] == [30, "2026-10-24"]
    assert send(keys, "HEAD", f"{other.api_key}/usage{slash}").status_code == 200


@pytest.mark.parametrize("days", ["1", "366"])
def test_days_are_as_many_as_asked_for(keys, days):
    body = usage(keys, keys, f"?days={days}&fresh=1").json()
    assert len(body["usage"]) == body["days"] == int(days)
    assert body["from"] == body["usage"][0]["date"]


@pytest.mark.parametrize(
    "days", ["0", "-1", "367", "", "week", "1.5", "1e1", "%00", "NaN", "9" * 5000]
)
def test_other_numbers_of_days_are_wrong(keys, days):
    assert_wrong(usage(keys, keys, f"?days={days}"), "days")


def test_days_are_those_of_the_time_zone_that_is_asked_for(keys, settings):
    settings.TIME_ZONE = "America/Lima"
    log(entry(utc(2026, 11, 21, 18, 30), api_key=keys.api_key))

    def by_day(query):
        body = usage(keys, keys, f"?days=2{query}").json()
        assert body["time_zone"] == (query.partition("=")[2] or "UTC")
        return [day["total"] for day in body["usage"]]

    assert by_day("") == [1, 0]
    assert by_day("&time_zone=Asia/Kolkata") == [0, 1]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Nowhere",
        "America",
        "/etc/passwd",
        "../../../etc/passwd",
        "%00",
        "z" * 5000,
        "%ED%A0%80",
    ],
)
def test_unknown_time_zones_are_wrong(keys, name):
    assert_wrong(usage(keys, keys, f"?time_zone={name}"), "time_zone", sentence="Asia/Kolkata")


def test_revoked_key_has_its_usage(manager, keys):
    log(entry(NOON, api_key=keys.api_key, outcome="key_revoked"))
    revoke(keys.instance)
    assert usage(manager, keys).json()["refused"] == 1


def test_others_keys_are_for_those_who_may_generate(manager, keys, make_user):
    stranger = generate_keys(make_user("grace"))
    assert_refused(usage(stranger, keys), 404, "no_key")
    assert_refused(usage(stranger, keys, "?days=0"), 404, "no_key")
    assert usage(keys, keys).status_code == 200
    assert usage(manager, keys).status_code == 200
    assert usage(None, keys).status_code == 401
    scoped = generate_keys(keys.instance.user, name="scoped", scopes=["todos"])
    assert_refused(usage(scoped, keys), 403, "insufficient_scope")
    read_only = generate_keys(keys.instance.user, name="read-only", read_only=True)
    assert usage(read_only, keys).status_code == 200
    assert_refused(usage(read_only, manager), 404, "no_key")


def test_session_may_ask(client, keys):
    assert client.login(username="ada", password=PASSWORD)
    assert client.get(f"/api/keys/{keys.api_key}/usage/").status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_there_is_nothing_to_change(keys, method):
    assert_refused(send(keys, method, f"{keys.api_key}/usage/"), 405, "method_not_allowed")


def test_key_may_have_a_slash(manager, user):
    ApiKey.objects.create(user=user, name="imported", api_key="a/b")
    log(entry(NOON, api_key="a/b"))
    assert reverse("frappe_tokens:key_usage", args=["a/b"]) == "/api/keys/a/b/usage"
    assert send(manager, "GET", "a/b/usage").json()["total"] == 1


class Replicas:
    def db_for_read(self, model, **hints):
        return "replica" if model is ApiRequestLog else "default"


@pytest.mark.django_db(transaction=True, databases=["default", "replica"])
def test_counts_on_a_replica(keys, settings):
    settings.DATABASE_ROUTERS = [Replicas()]
    with CaptureQueriesContext(connections["replica"]) as queries:
        assert usage(keys, keys).status_code == 200
    assert len([query for query in queries if "COUNT(" in query["sql"]]) == 1


@pytest.fixture
def complains_at_once(monkeypatch):
    """As where nothing was complained of in the last minute."""
    monkeypatch.setattr(api_keys._log_error, "_logged_at", -math.inf)


def assert_log_unavailable(response, caplog):
    assert_refused(response, 503, "service_unavailable")
    assert "The request log can't be read." in response.json()["detail"]
    assert response.headers["Retry-After"] == "5"
    assert_no_secret(response)
    assert "The request log can't be read." in caplog.text


@pytest.mark.usefixtures("complains_at_once")
@pytest.mark.django_db(transaction=True)
def test_log_that_is_gone_is_asked_for_later(manager, keys, caplog):
    with log_gone():
        assert_log_unavailable(usage(manager, keys), caplog)
    assert usage(manager, keys).status_code == 200


@pytest.mark.usefixtures("complains_at_once")
@pytest.mark.django_db(transaction=True, databases=["default", ELSEWHERE])
def test_log_that_somebody_holds_is_not_waited_for(
    client,
    keys,
    settings,
    tmp_path,
    caplog,
):
    assert client.login(username="ada", password=PASSWORD)
    # On SQLite, whoever holds the log holds all that is in its file.
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
