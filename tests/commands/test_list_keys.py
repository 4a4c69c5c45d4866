import csv
import io
import json
from datetime import datetime, timedelta, timezone
from functools import partial

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.translation import gettext_lazy

from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey

from ..sources.models import Drone, Robot, Sensor
from . import running

NOW = datetime(2026, 11, 1, 12, tzinfo=timezone.utc)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)

run = partial(running.run, "list_keys")

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def one_source_at_noon(settings):
    settings.FRAPPE_TOKENS = {}
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def three_sources(user, settings):
    names = ("Robot", "Meter", "Drone", "Sensor")
    settings.FRAPPE_TOKENS = {"SOURCES": {name: f"sources.{name}" for name in names}}
    make_key(user, "key")
    Robot.objects.create(user=user, api_key="robot", serial_number=-1)
    Drone.objects.create(user=user, api_key="drone")
    Sensor.objects.create(api_key="sensor")


def make_key(user, api_key, **columns):
    return ApiKey.objects.create(**{"user": user, "name": api_key, "api_key": api_key, **columns})


def objects(*arguments):
    out, err = run(*arguments, "--format", "json")
    assert err == ""
    return [json.loads(line) for line in out.splitlines()]


def listed(*arguments):
    """The API keys that are listed, in their order."""
    return [fields["api_key"] for fields in objects(*arguments)]


LIMITED = {
    "name": "ci",
    "scopes": ["todos", "events"],
    "read_only": True,
    "allowed_ips": ["192.0.2.0/24"],
    "rate_limit": "100/minute",
    "self_rotate": True,
    "description": "Nightly build",
    "metadata": {"team": "ops"},
    "disabled_at": None,
    "expires_at": NOW + DAY,
    "last_used_at": NOW - SECOND / 1000,
}


def test_prints_an_aligned_table(make_user):
    ada = make_user("ada")
    make_key(ada, "plain", name="")
    make_key(make_user("grace.hopper"), "narrow", **LIMITED)
    make_key(ada, "over", expires_at=NOW)
    make_key(make_user("gone", is_active=False), "inactive", name="")

    out, err = run()

    assert out.splitlines() == [
        "API key   user          name  state          last used             expires"
        "               limits",
        "plain     ada           -     active         never                 never"
        "                 -",
        "narrow    grace.hopper  ci    active         2026-11-01 11:59 UTC  2026-11-02 12:00 UTC"
        "  read-only; todos events; 192.0.2.0/24; 100/minute",
        "over      ada           over  expired        never                 2026-11-01 12:00 UTC"
        "  -",
        "inactive  gone          -     user inactive  never                 never"
        "                 -",
    ]
    assert err == ""


def test_prints_one_json_object_per_line_like_the_rest_api(make_user):
    make_key(make_user("ada"), "narrow", last_used_ip="192.0.2.7", **LIMITED)
    make_key(make_user("grace"), "plain", name="")

    narrow, plain = objects()

    assert narrow == {
        **LIMITED,
        "api_key": "narrow",
        "user": "ada",
        "expires_at": "2026-11-02T12:00:00Z",
        "revoked_at": None,
        "last_used_at": "2026-11-01T11:59:59.999000Z",
        "last_used_ip": "192.0.2.7",
        "created_at": "2026-11-01T12:00:00Z",
        "rotated_at": None,
    }
    assert plain.keys() == narrow.keys()
    assert (plain["expires_at"], plain["last_used_at"], plain["last_used_ip"]) == (None,) * 3


def test_prints_csv_with_the_same_columns(make_user):
    key = make_key(make_user("ada"), "narrow", **LIMITED | {"description": "two\nlines"})
    make_key(make_user("+grace"), "plain", name="=1+1", metadata={"team": "ops"})

    out, _ = run("--format", "csv")

    narrow, plain = csv.DictReader(io.StringIO(out, newline=""))
    assert [*narrow] == [*objects()[0]]
    assert narrow == {
        **dict.fromkeys(narrow, ""),
        "api_key": key.api_key,
        "name": "ci",
        "description": "two\nlines",
        "metadata": '{"team": "ops"}',
        "user": "ada",
        "scopes": "todos events",
        "read_only": "true",
        "allowed_ips": "192.0.2.0/24",
        "rate_limit": "100/minute",
        "expires_at": "2026-11-02T12:00:00Z",
        "self_rotate": "true",
        "last_used_at": "2026-11-01T11:59:59.999000Z",
        "created_at": "2026-11-01T12:00:00Z",
    }
    assert (plain["user"], plain["name"]) == ("'+grace", "'=1+1")
    assert plain["metadata"] == '{"team": "ops"}'


def test_prints_naive_times_without_a_time_zone(user, settings):
    settings.USE_TZ = False
    make_key(user, "plain", expires_at=NOW.replace(tzinfo=None) + DAY)
    assert objects()[0]["expires_at"] == "2026-11-02T12:00:00"
    assert "  2026-11-02 12:00  -" in run()[0]


@pytest.mark.parametrize("form", ["text", "json", "csv"])
def test_columns_of_a_source_may_have_the_names_of_ours_and_other_types(
    user, form, monkeypatch, settings
):
    settings.FRAPPE_TOKENS = {"SOURCES": {"Sensor": "sources.Sensor"}}
    sensor = Sensor.objects.create(user=user)
    for name, value in {
        "name": gettext_lazy("Door"),
        "description": user,
        "metadata": [{"since": NOW}],
    }.items():
        monkeypatch.setattr(Sensor, name, value, raising=False)

    out, _ = run("--source", "Sensor", "--format", form)

    assert sensor.api_key in out
    assert "Door" in out
    if form != "text":
        assert "ada" in out
        assert "2026-11-01T12:00:00Z" in out


@pytest.mark.parametrize("form", ["text", "json", "csv"])
def test_neither_prints_nor_reads_digests(user, form):
    generate_keys(user)
    api_key = generate_keys(user, grace=DAY).api_key
    with CaptureQueriesContext(connection) as captured:
        out, _ = run("--format", form)
    assert api_key in out
    for text in (out, str(captured.captured_queries)):
        assert "digest" not in text
        assert "sha256" not in text


def test_lists_revoked_keys_with_all(user):
    assert run("--user", "ada") == ("", "No keys.\n")
    assert objects("--user", "ada") == []
    old = generate_keys(user)
    revoke(old.instance)
    new = generate_keys(user)

    assert listed() == [new.api_key]
    assert listed("--all") == [old.api_key, new.api_key]
    assert "revoked" in run("--all")[0]
    assert objects("--all")[0]["revoked_at"] == "2026-11-01T12:00:00Z"


def test_lists_keys_that_have_not_been_used_for_some_time(user):
    long_ago, limit = NOW - 365 * DAY, NOW - 90 * DAY
    make_key(user, "used lately", created_at=long_ago, last_used_at=limit + SECOND)
    make_key(user, "used once", created_at=long_ago + SECOND, last_used_at=limit)
    make_key(user, "new", created_at=limit + SECOND)
    make_key(user, "never used", created_at=limit)
    make_key(user, "revoked", created_at=long_ago, revoked_at=NOW, live=None)

    assert listed("--unused-for", "90d") == ["used once", "never used"]


def test_lists_keys_that_expire_soon(make_user):
    ada, grace = make_user("ada"), make_user("grace")
    make_key(ada, "last", expires_at=NOW + 14 * DAY, created_at=NOW - 2 * DAY)
    make_key(ada, "later", expires_at=NOW + 14 * DAY + SECOND)
    make_key(grace, "first", expires_at=NOW + SECOND)
    make_key(ada, "expired", expires_at=NOW)
    make_key(ada, "never", created_at=NOW - 2 * DAY)
    make_key(ada, "revoked", expires_at=NOW + DAY, revoked_at=NOW, live=None)

    soon = ["--expiring-in", "2w"]
    assert listed(*soon) == ["first", "last"]
    assert listed(*soon, "--user", "ada") == ["last"]
    assert listed(*soon, "--user", "ada", "--user", "grace") == ["first", "last"]
    assert listed(*soon, "--unused-for", "1d") == ["last"]


def test_lists_the_keys_of_all_sources_once_each_or_of_one(three_sources):
    assert listed() == ["key", "robot", "drone", "sensor"]
    assert listed("--source", "User") == ["key"]
    assert listed("--source", "Drone") == ["drone"]
    (sensor,) = objects("--source", "Sensor")
    assert sensor["user"] is None
    assert (sensor["name"], sensor["description"], sensor["metadata"]) == ("", "", {})

    table = [line.split() for line in run()[0].splitlines()]
    assert [(row[0], row[-1]) for row in table[1:]] == [
        ("key", "User"),
        ("robot", "Robot"),
        ("drone", "Robot"),
        ("sensor", "Sensor"),
    ]
    assert "source" not in run("--source", "Robot")[0].splitlines()[0]


def test_escapes_control_characters_of_names(make_user):
    make_key(make_user("a\x1b[2Jda\nb"), "key", name="c\x07i")
    out, _ = run()
    assert len(out.splitlines()) == 2
    assert r"'a\x1b[2Jda\nb'  'c\x07i'" in out
    assert objects()[0]["user"] == "a\x1b[2Jda\nb"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--user", "nobody", "--user", "x"], "no user 'nobody'.\nThere is no user 'x'."),
        (["--source", "Nothing"], "There is no source 'Nothing'. SOURCES has User."),
        (["--unused-for", "long"], "'long' is not a duration"),
        (["--all", "--unused-for", "1d"], "--all can't be combined"),
    ],
)
def test_refuses_wrong_arguments(user, arguments, problem):
    assert problem in running.error_of("list_keys", *arguments)
