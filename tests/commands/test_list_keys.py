import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.management.commands import list_keys
from frappe_tokens.models import ApiKey

from ..sources.models import Drone, Robot, Sensor

NOW = datetime(2026, 11, 1, 12, tzinfo=timezone.utc)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)

pytestmark = pytest.mark.django_db

MakeUser = Callable[..., Any]


def run(*arguments):
    out, err = StringIO(), StringIO()
    call_command("list_keys", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def listed(*arguments):
    """The API keys that are listed, in their order."""
    out, err = run(*arguments, "--format", "json")
    assert err == ""
    return [json.loads(line)["api_key"] for line in out.splitlines()]


def make_key(user, api_key, **columns):
    return ApiKey.objects.create(**{"user": user, "name": api_key, "api_key": api_key, **columns})


@pytest.fixture(autouse=True)
def one_source(settings):
    settings.FRAPPE_TOKENS = {}


@pytest.fixture(autouse=True)
def at_noon():
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


def test_prints_an_aligned_table(make_user):
    ada = make_user("ada")
    make_key(ada, "plain", name="")
    make_key(
        make_user("grace.hopper"),
        "narrow",
        name="ci",
        scopes=["todos", "events"],
        read_only=True,
        allowed_ips=["192.0.2.0/24"],
        rate_limit="100/minute",
        expires_at=NOW + DAY,
        last_used_at=NOW - DAY,
    )
    make_key(ada, "over", expires_at=NOW)
    make_key(make_user("gone", is_active=False), "inactive", name="")

    out, err = run()

    assert out.splitlines() == [
        "API key   user          name  state          last used             expires"
        "               limits",
        "plain     ada           -     active         never                 never"
        "                 -",
        "narrow    grace.hopper  ci    active         2026-10-31 12:00 UTC  2026-11-02 12:00 UTC"
        "  read-only; todos events; 192.0.2.0/24; 100/minute",
        "over      ada           over  expired        never                 2026-11-01 12:00 UTC"
        "  -",
        "inactive  gone          -     user inactive  never                 never"
        "                 -",
    ]
    assert err == ""


def test_prints_what_the_rest_interface_tells_one_object_a_line(make_user):
    make_key(
        make_user("ada"),
        "narrow",
        name="ci",
        scopes=["todos"],
        read_only=True,
        allowed_ips=["192.0.2.0/24"],
        rate_limit="100/minute",
        expires_at=NOW + DAY,
        last_used_at=NOW - SECOND / 1000,
        last_used_ip="192.0.2.7",
    )
    make_key(make_user("grace"), "plain", name="")

    out, _ = run("--format", "json")

    narrow, plain = (json.loads(line) for line in out.splitlines())
    assert narrow == {
        "api_key": "narrow",
        "name": "ci",
        "user": "ada",
        "scopes": ["todos"],
        "read_only": True,
        "allowed_ips": ["192.0.2.0/24"],
        "rate_limit": "100/minute",
        "expires_at": "2026-11-02T12:00:00Z",
        "revoked_at": None,
        "last_used_at": "2026-11-01T11:59:59.999000Z",
        "last_used_ip": "192.0.2.7",
        "created_at": "2026-11-01T12:00:00Z",
    }
    assert plain.keys() == narrow.keys()
    assert (plain["expires_at"], plain["last_used_at"], plain["last_used_ip"]) == (None,) * 3


def test_moments_without_a_time_zone_stay_without_one(user, settings):
    settings.USE_TZ = False
    make_key(user, "plain", expires_at=NOW.replace(tzinfo=None) + DAY)
    assert json.loads(run("--format", "json")[0])["expires_at"] == "2026-11-02T12:00:00"
    assert "  2026-11-02 12:00  -" in run()[0]


@pytest.mark.parametrize("form", ["text", "json"])
def test_neither_shows_nor_reads_a_digest(user, form):
    generate_keys(user)
    digests = generate_keys(user, grace=DAY).instance
    with CaptureQueriesContext(connection) as captured:
        out, _ = run("--format", form)
    assert digests.api_key in out
    for shown in (out, str(captured.captured_queries)):
        assert digests.secret_digest not in shown
        assert digests.previous_digest not in shown
        assert "digest" not in shown


def test_lists_revoked_keys_where_all_are_asked_for(user):
    old = generate_keys(user)
    revoke(old.instance)
    new = generate_keys(user)

    assert listed() == [new.api_key]
    assert listed("--all") == [old.api_key, new.api_key]
    assert "revoked" in run("--all")[0]
    assert json.loads(run("--all", "--format", "json")[0].splitlines()[0])["revoked_at"] == (
        "2026-11-01T12:00:00Z"
    )


def test_lists_keys_that_were_not_used_for_long(user):
    long_ago = NOW - 365 * DAY
    make_key(user, "used lately", created_at=long_ago, last_used_at=NOW - 90 * DAY + SECOND)
    make_key(user, "used once", created_at=long_ago + SECOND, last_used_at=NOW - 90 * DAY)
    make_key(user, "new", created_at=NOW - 90 * DAY + SECOND)
    make_key(user, "never used", created_at=NOW - 90 * DAY)
    revoked = {"revoked_at": NOW, "live": None}
    make_key(user, "revoked", created_at=long_ago, **revoked)

    assert listed("--unused-for", "90d") == ["used once", "never used"]


def test_lists_keys_that_expire_soon(user):
    make_key(user, "last", expires_at=NOW + 14 * DAY)
    make_key(user, "later", expires_at=NOW + 14 * DAY + SECOND)
    make_key(user, "first", expires_at=NOW + SECOND)
    make_key(user, "expired", expires_at=NOW)
    make_key(user, "never")
    make_key(user, "revoked", expires_at=NOW + DAY, revoked_at=NOW, live=None)

    assert listed("--expiring-in", "14d") == ["first", "last"]


def test_conditions_are_all_kept(make_user):
    ada, grace, hedy = (make_user(name) for name in ("ada", "grace", "hedy"))
    stale = {"created_at": NOW - 100 * DAY}
    make_key(ada, "a1", expires_at=NOW + DAY, **stale)
    make_key(ada, "a2", **stale)
    make_key(grace, "g1", expires_at=NOW + DAY)
    make_key(hedy, "h1", expires_at=NOW + DAY, **stale)

    assert listed("--user", "ada") == ["a1", "a2"]
    assert listed("--user", "ada", "--user", "hedy", "--expiring-in", "1d") == ["a1", "h1"]
    everything = ["--user", "ada", "--user", "grace", "--expiring-in", "1w", "--unused-for", "1d"]
    assert listed(*everything) == ["a1"]


@pytest.mark.parametrize("arguments", [[], ["--all"], ["--user", "ada"], ["--unused-for", "0s"]])
def test_says_so_where_there_are_none(user, arguments):
    assert run(*arguments) == ("", "No keys.\n")
    assert run(*arguments, "--format", "json") == ("", "")


@pytest.fixture
def three_sources(user, settings):
    settings.FRAPPE_TOKENS = {
        "SOURCES": {
            "Robot": "sources.Robot",
            "Meter": "sources.Meter",
            "Drone": "sources.Drone",
            "Sensor": "sources.Sensor",
        }
    }
    make_key(user, "key")
    Robot.objects.create(user=user, api_key="robot", serial_number=-1)
    Drone.objects.create(user=user, api_key="drone")
    Sensor.objects.create(api_key="sensor")


def test_lists_the_keys_of_all_sources_each_once(three_sources):
    assert listed() == ["key", "robot", "drone", "sensor"]

    table = [line.split() for line in run()[0].splitlines()]
    assert table[0][-1] == "source"
    assert [(row[0], row[1], row[-1]) for row in table[1:]] == [
        ("key", "ada", "User"),
        ("robot", "ada", "Robot"),
        ("drone", "ada", "Robot"),
        ("sensor", "-", "Sensor"),
    ]
    assert json.loads(run("--format", "json", "--source", "Sensor")[0])["user"] is None


def test_lists_the_keys_of_one_source(three_sources):
    assert listed("--source", "User") == ["key"]
    assert listed("--source", "Drone") == ["drone"]
    assert "source" not in run("--source", "Robot")[0].splitlines()[0]


def test_queries_are_as_many_however_many_keys(make_user):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            run("--user", "user0")
            run()
        return len(captured)

    make_key(make_user("user0"), "key0")
    few = queries()
    for number in range(1, 8):
        make_key(make_user(f"user{number}"), f"key{number}")
    assert queries() == few


def test_columns_of_a_long_list_grow_and_never_shrink(make_user, monkeypatch):
    monkeypatch.setattr(list_keys, "MEASURED", 2)
    user = make_user("ada")
    for api_key in ("k1", "k2", "a-longer-key", "k3", "k4"):
        make_key(user, api_key)

    out, _ = run()

    starts = [line.index("ada") for line in out.splitlines()[1:]]
    assert starts == [9, 9, 14, 14, 14]
    assert out.count("API key") == 1


def test_names_cannot_draw_on_the_terminal(make_user):
    make_key(make_user("a\x1b[2Jda\nb"), "key", name="c\x07i")
    out, _ = run()
    assert len(out.splitlines()) == 2
    assert r"'a\x1b[2Jda\nb'  'c\x07i'" in out
    assert json.loads(run("--format", "json")[0])["user"] == "a\x1b[2Jda\nb"


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--user", "nobody", "--user", "x"], "no user 'nobody'.\nThere is no user 'x'."),
        (["--source", "Nothing"], "There is no source 'Nothing'. SOURCES has User."),
        (["--unused-for", "long"], "'long' is not a duration."),
        (["--all", "--unused-for", "1d"], "--all can't be combined"),
        (["--all", "--expiring-in", "0s"], "--all can't be combined"),
    ],
)
def test_refuses_what_it_does_not_understand(user, arguments, what):
    with pytest.raises(CommandError) as raised:
        run(*arguments)
    assert what in str(raised.value)
    assert raised.value.returncode == 1
