import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey
from frappe_tokens.signals import key_revoked

from ..conftest import token_header
from ..sources.models import Drone, Robot, Sensor
from ..test_parallel import at_once

NOW = datetime(2026, 11, 1, 12, tzinfo=timezone.utc)

pytestmark = pytest.mark.django_db

MakeUser = Callable[..., Any]


def run(*arguments):
    out, err = StringIO(), StringIO()
    call_command("revoke_keys", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def complaint(*arguments):
    with pytest.raises(CommandError) as raised:
        run(*arguments)
    assert raised.value.returncode == 1
    return str(raised.value)


@pytest.fixture(autouse=True)
def one_source(settings):
    settings.FRAPPE_TOKENS = {}


@pytest.fixture
def robots(settings):
    settings.FRAPPE_TOKENS = {"SOURCES": {"Robot": "sources.Robot", "Sensor": "sources.Sensor"}}


@time_machine.travel(NOW, tick=False)
def test_revokes_keys_and_says_which(make_user):
    ada = generate_keys(make_user("ada"))
    grace = generate_keys(make_user("grace"), name="ci")
    other = generate_keys(ada.instance.user, name="other")

    out, err = run(grace.api_key, ada.api_key, grace.api_key, "--reason", "the laptop was stolen")

    assert out == f"Revoked {grace.api_key} of grace (ci).\nRevoked {ada.api_key} of ada.\n"
    assert err == ""
    for keys in (ada, grace):
        key = ApiKey.objects.get(pk=keys.instance.pk)
        assert (key.revoked_at, key.live) == (NOW, None)
        assert (key.revoked_reason, key.revoked_by) == ("the laptop was stolen", None)
    assert ApiKey.objects.get(live=True) == other.instance


@pytest.mark.django_db(transaction=True)
def test_revoked_key_is_refused_from_the_next_request_on(keys):
    run(keys.api_key)
    answer = Client().get(
        "/api/method/frappe.auth.get_logged_user", headers={"authorization": token_header(keys)}
    )
    assert answer.json()["code"] == "key_revoked"


def test_says_which_keys_were_revoked_already(keys):
    revoke(keys.instance, reason="leaked")
    new = generate_keys(keys.instance.user)

    out, _ = run(keys.api_key, new.api_key)

    assert out.splitlines() == [
        f"Was revoked already: {keys.api_key} of ada.",
        f"Revoked {new.api_key} of ada.",
    ]
    assert ApiKey.objects.get(api_key=keys.api_key).revoked_reason == "leaked"


def test_revokes_all_live_keys_of_users(make_user):
    ada, grace, hedy = (make_user(name) for name in ("ada", "grace", "hedy"))
    revoke(generate_keys(ada).instance)
    made = [generate_keys(ada), generate_keys(ada, name="ci"), generate_keys(grace)]
    generate_keys(hedy)
    ApiKey.objects.filter(api_key=made[0].api_key).update(expires_at=NOW)

    out, err = run("--user", "ada", "--user", "grace")

    assert re.findall(r"^Revoked (\S+) of ", out, re.MULTILINE) == [keys.api_key for keys in made]
    assert len(out.splitlines()) == 3
    assert err == ""
    assert ApiKey.objects.get(live=True).user == hedy


def test_says_so_where_a_user_has_nothing_to_revoke(keys):
    run("--user", "ada")
    assert run("--user", "ada") == ("", "There are no keys to revoke.\n")


def test_finds_keys_in_every_source(robots, keys):
    ada = keys.instance.user
    rows = [
        Robot.objects.create(user=ada),
        Sensor.objects.create(user=ada),
        Sensor.objects.create(),
    ]

    out, _ = run(*(row.api_key for row in rows))

    assert out.splitlines() == [
        f"Revoked {rows[0].api_key} of ada.",
        f"Revoked {rows[1].api_key} of ada.",
        f"Revoked {rows[2].api_key}.",
    ]
    for row in rows:
        row.refresh_from_db()
        assert row.is_revoked
    assert ApiKey.objects.filter(live=True).exists()


def test_revokes_a_users_keys_in_every_source_or_in_one(robots, keys):
    robot = Robot.objects.create(user=keys.instance.user)
    Robot.objects.create(user=keys.instance.user)

    assert len(run("--user", "ada", "--source", "Robot")[0].splitlines()) == 2
    robot.refresh_from_db()
    assert robot.is_revoked

    assert run("--user", "ada")[0] == f"Revoked {keys.api_key} of ada.\n"


def test_looks_in_the_named_source_alone(robots, keys):
    robot = Robot.objects.create(user=keys.instance.user, api_key=keys.api_key)

    run(keys.api_key, "--source", "User")

    robot.refresh_from_db()
    assert not robot.is_revoked
    said = complaint(robot.api_key, "--source", "Sensor")
    assert said.startswith(f"There is no API key '{keys.api_key}'.")


def test_one_api_key_of_two_sources_is_revoked_in_both(robots, keys):
    Robot.objects.create(user=keys.instance.user, api_key=keys.api_key)
    assert len(run(keys.api_key)[0].splitlines()) == 2
    assert not Robot.objects.filter(revoked_at=None).exists()


def test_a_key_that_two_sources_share_is_revoked_once(user, settings):
    settings.FRAPPE_TOKENS = {
        "SOURCES": {
            "Meter": "sources.Meter",  # a proxy whose manager hides some
            "Drone": "sources.Drone",
            "Robot": "sources.Robot",
            "Again": "sources.Robot",
        }
    }
    drone = Drone.objects.create(user=user, serial_number=-1)

    assert run(drone.api_key)[0] == f"Revoked {drone.api_key} of ada.\n"
    drone.refresh_from_db()
    assert drone.is_revoked


def test_names_cannot_draw_on_the_terminal(make_user):
    keys = generate_keys(make_user("a\x1b[2Jda\nRevoked"))
    out, _ = run(keys.api_key)
    assert out == f"Revoked {keys.api_key} of 'a\\x1b[2Jda\\nRevoked'.\n"


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["KEY", "one", "two"], "There is no API key 'one'.\nThere is no API key 'two'.\n"),
        (["KEY", "key"], "There is no API key 'key'."),
        (["KEY", "not\udcff"], r"There is no API key 'not\udcff'."),
        (["KEY", "not\0"], r"There is no API key 'not\x00'."),
        (["KEY", ""], "There is no API key ''."),
        (["--user", "ada", "--user", "x", "--user", "y"], "no user 'x'.\nThere is no user 'y'."),
        ([], "Enter API keys, or use --user."),
        (["KEY", "--user", "ada"], "Enter API keys, or use --user."),
        (["KEY", "--source", "Nothing"], "no source 'Nothing'. SOURCES has User."),
    ],
)
def test_revokes_nothing_where_something_is_wrong(keys, arguments, what):
    ApiKey.objects.update(api_key="KEY")
    said = complaint(*arguments)
    assert what in said
    assert ApiKey.objects.filter(live=True).exists()


@pytest.mark.parametrize("what", ["token", "api_secret"])
def test_shows_no_secret_that_was_given_for_a_key(keys, what):
    said = complaint(keys.api_key, getattr(keys, what))
    assert said.startswith("One of these contains a secret.")
    assert keys.api_secret not in said
    assert ApiKey.objects.filter(live=True).exists()


def test_all_or_nothing(make_user):
    made = [generate_keys(make_user(f"user{number}")) for number in range(3)]

    class Full(Exception):
        pass

    updates = []

    def full(execute, sql, *more):
        if sql.startswith("UPDATE") and "revoked_at" in sql:
            updates.append(sql)
            if len(updates) == 3:
                raise Full
        return execute(sql, *more)

    with connection.execute_wrapper(full), pytest.raises(Full):
        run(*(keys.api_key for keys in made))
    assert ApiKey.objects.filter(live=True).count() == 3


def test_tells_the_signals_receivers(keys, django_capture_on_commit_callbacks):
    told = []

    def receive(instance, reason, by, **_):
        told.append((instance.api_key, reason, by))

    key_revoked.connect(receive)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            run(keys.api_key, "--reason", "leaked")
    finally:
        key_revoked.disconnect(receive)
    assert told == [(keys.api_key, "leaked", None)]


def test_exits_with_1_on_the_command_line():
    done = subprocess.run(
        [sys.executable, "manage.py", "revoke_keys"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.endswith("CommandError: Enter API keys, or use --user.\n")


@pytest.mark.parallel
@pytest.mark.django_db(transaction=True)
def test_keys_that_are_generated_meanwhile_are_revoked_or_come_after(make_user):
    users = [make_user(f"user{number}") for number in range(6)]
    for user in users:
        generate_keys(user)
    order = [f"--user={user.username}" for user in users]

    results, errors = at_once(
        lambda: run(*order),
        lambda: run(*order[::-1]),
        *[lambda user=user: generate_keys(user) for user in users],
    )

    assert errors == []
    printed = "".join(result[0] for result in results if isinstance(result, tuple))
    assert ApiKey.objects.filter(live=None).count() == printed.count("Revoked") >= 6
