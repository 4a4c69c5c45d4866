from datetime import datetime, timezone
from functools import partial

import pytest
import time_machine

from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey

from ..sources.models import Robot, Sensor
from ..test_parallel import at_once
from . import running

NOW = datetime(2026, 11, 1, 12, tzinfo=timezone.utc)

run = partial(running.run, "revoke_keys")
error_of = partial(running.error_of, "revoke_keys")

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def one_source(settings):
    settings.FRAPPE_TOKENS = {}


@pytest.fixture
def robots(settings):
    settings.FRAPPE_TOKENS = {"SOURCES": {"Robot": "sources.Robot", "Sensor": "sources.Sensor"}}


@time_machine.travel(NOW, tick=False)
def test_revokes_and_prints_the_named_keys(make_user):
    ada = generate_keys(make_user("ada"))
    grace = generate_keys(make_user("grace"), name="ci")
    other = generate_keys(ada.instance.user, name="other")

    out, err = run(grace.api_key, ada.api_key, grace.api_key, "--reason", "the laptop was stolen")

    assert out == f"Revoked {ada.api_key} of ada.\nRevoked {grace.api_key} of grace (ci).\n"
    assert err == ""
    for keys in (ada, grace):
        key = ApiKey.objects.get(pk=keys.instance.pk)
        assert (key.revoked_at, key.live) == (NOW, None)
        assert (key.revoked_reason, key.revoked_by) == ("the laptop was stolen", None)
    assert ApiKey.objects.get(live=True) == other.instance


def test_prints_which_keys_were_revoked_already(keys):
    revoke(keys.instance, reason="leaked")
    new = generate_keys(keys.instance.user)

    out, _ = run(keys.api_key, new.api_key)

    assert out.splitlines() == [
        f"Was revoked already: {keys.api_key} of ada.",
        f"Revoked {new.api_key} of ada.",
    ]
    assert ApiKey.objects.get(api_key=keys.api_key).revoked_reason == "leaked"


def test_revokes_all_unrevoked_keys_of_users(make_user):
    ada, grace, hedy = (make_user(name) for name in ("ada", "grace", "hedy"))
    revoke(generate_keys(ada).instance)
    ended = [generate_keys(ada), generate_keys(ada, name="ci"), generate_keys(grace)]
    generate_keys(hedy)
    ApiKey.objects.filter(api_key=ended[0].api_key).update(expires_at=NOW)

    out, _ = run("--user", "ada", "--user", "grace")

    assert [line.split()[1] for line in out.splitlines()] == [keys.api_key for keys in ended]
    assert ApiKey.objects.get(live=True).user == hedy
    assert run("--user", "ada") == ("", "There are no keys to revoke.\n")


def test_finds_keys_in_every_source(robots, keys):
    ada = keys.instance.user
    rows = [
        # The same API key in two sources.
        Robot.objects.create(user=ada, api_key=keys.api_key),
        Sensor.objects.create(user=ada),
        Sensor.objects.create(),
    ]

    out, _ = run(*(row.api_key for row in rows))

    assert set(out.splitlines()) == {
        f"Revoked {keys.api_key} of ada.",
        f"Revoked {rows[1].api_key} of ada.",
        f"Revoked {rows[2].api_key}.",
    }
    for row in [keys.instance, *rows]:
        row.refresh_from_db()
        assert row.is_revoked


def test_looks_only_in_the_named_source(robots, keys):
    robot = Robot.objects.create(user=keys.instance.user)

    assert f"no API key '{robot.api_key}'." in error_of(robot.api_key, "--source", "Sensor")
    assert run("--user", "ada", "--source", "Robot")[0] == f"Revoked {robot.api_key} of ada.\n"
    assert run("--user", "ada")[0] == f"Revoked {keys.api_key} of ada.\n"


def test_escapes_control_characters_of_usernames(make_user):
    keys = generate_keys(make_user("a\x1b[2Jda\nRevoked"))
    out, _ = run(keys.api_key)
    assert out == f"Revoked {keys.api_key} of 'a\\x1b[2Jda\\nRevoked'.\n"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["KEY", "one", "two"], "There is no API key 'one'.\nThere is no API key 'two'.\n"),
        (["KEY", "key"], "There is no API key 'key'."),
        (["KEY", "not\udcff"], r"There is no API key 'not\udcff'."),
        (["KEY", "not\0"], r"There is no API key 'not\x00'."),
        (["--user", "ada", "--user", "x", "--user", "y"], "no user 'x'.\nThere is no user 'y'."),
        ([], "Enter API keys, or use --user."),
        (["KEY", "--user", "ada"], "Enter API keys, or use --user."),
        (["KEY", "--source", "Nothing"], "no source 'Nothing'. SOURCES has User."),
    ],
)
def test_revokes_nothing_if_anything_is_wrong(keys, arguments, problem):
    ApiKey.objects.update(api_key="KEY")
    assert problem in error_of(*arguments)
    assert ApiKey.objects.filter(live=True).exists()


@pytest.mark.parametrize("secret", ["token", "api_secret"])
def test_does_not_repeat_a_secret(keys, secret):
    error = error_of(keys.api_key, getattr(keys, secret))
    assert error.startswith("One of these contains a secret.")
    assert keys.api_secret not in error
    assert ApiKey.objects.filter(live=True).exists()


def test_revokes_all_or_none(make_user):
    generated = [generate_keys(make_user(f"user{number}")) for number in range(3)]

    with running.failing("UPDATE", "revoked_at", number=3), pytest.raises(RuntimeError):
        run(*(keys.api_key for keys in generated))

    assert ApiKey.objects.filter(live=True).count() == 3


@pytest.mark.parallel
@pytest.mark.django_db(transaction=True)
def test_keys_generated_in_parallel_are_revoked_or_come_later(make_user):
    users = [make_user(f"user{number}") for number in range(6)]
    for user in users:
        generate_keys(user)
    order = [f"--user={user.username}" for user in users]

    results, errors = at_once(
        lambda: run(*order),
        lambda: run(*order[::-1]),
        *[partial(generate_keys, user) for user in users],
    )

    assert errors == []
    printed = "".join(result[0] for result in results if type(result) is tuple)
    assert ApiKey.objects.filter(live=None).count() == printed.count("Revoked") >= 6
