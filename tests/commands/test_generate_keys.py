import json
import re
import shlex
import subprocess
from datetime import datetime, timedelta, timezone
from functools import partial

import pytest
import time_machine
from django.contrib.auth import get_user_model

from frappe_tokens import crypto
from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.management.commands import generate_keys as generate_keys_command
from frappe_tokens.models import ApiKey

from ..test_parallel import at_once
from . import running

NOW = datetime(2026, 11, 1, 12, tzinfo=timezone.utc)

run = partial(running.run, "generate_keys")
run_on_terminal = partial(running.run_on_terminal, "generate_keys")
error_of = partial(running.error_of, "generate_keys")

pytestmark = pytest.mark.django_db


@pytest.fixture
def five_users(make_user, monkeypatch):
    monkeypatch.setattr(generate_keys_command, "BATCH_SIZE", 2)
    names = [f"user{number}" for number in range(5)]
    for name in names:
        make_user(name)
    return names


def test_prints_key_and_secret_of_each_user(make_user):
    existing = generate_keys(make_user("ada"))
    make_user("grace")

    out, err = run("ada", "grace", "ada")

    pairs = re.findall(r"(\w+)\n  API key     (\S+)\n  API secret  (\S+)\n\n", out)
    assert [name for name, *_ in pairs] == ["ada", "grace"]
    assert ApiKey.objects.count() == 2
    for _, api_key, api_secret in pairs:
        assert crypto.matches(api_secret, ApiKey.objects.get(api_key=api_key).secret_digest)
    assert pairs[0][1] == existing.api_key
    assert err == "Store the secrets now. They aren't shown again.\n"


def test_prints_one_json_object_per_line(make_user):
    make_user("ada")
    make_user("grace")

    out, err = run("ada", "grace", "--format", "json", "--name", "ci")

    for username, line in zip(["ada", "grace"], out.splitlines(), strict=True):
        fields = json.loads(line)
        assert fields.keys() == {"user", "name", "api_key", "api_secret"}
        assert (fields["user"], fields["name"]) == (username, "ci")
    assert err == ""


def test_prints_variables_for_a_shell(make_user):
    make_user("x\ntouch /broken; '")

    out, _ = run("x\ntouch /broken; '", "--format", "env")

    assert [line[:1] for line in out.splitlines()] == ["#", "A", "A"]
    shell = subprocess.run(
        ["sh", "-c", f'{out}\nprintf "%s:%s" "$API_KEY" "$API_SECRET"'],
        capture_output=True,
        text=True,
        check=True,
    )
    api_key, _, api_secret = shell.stdout.partition(":")
    assert crypto.matches(api_secret, ApiKey.objects.get(api_key=api_key).secret_digest)


def test_prints_a_curl_command_that_works(user, client):
    out, _ = run("ada", "--format", "curl", "--url", "https://api.example.org/")

    program, flag, header, url = shlex.split(out)
    assert (program, flag) == ("curl", "-H")
    name, _, value = header.partition(": ")
    assert name == "Authorization"
    path = url.removeprefix("https://api.example.org")
    assert client.get(path, headers={"authorization": value}).json() == {"message": "ada"}


@pytest.mark.parametrize("options", [(), ("--from-env", "PAIR")], ids=["generated", "given"])
def test_says_what_to_ask_if_the_urls_are_not_included(user, settings, monkeypatch, options):
    monkeypatch.setenv("PAIR", f"ftk_robot:{'Canary' * 6}")
    settings.ROOT_URLCONF = ()

    out, err = run("ada", "--format", "curl", *options)

    assert out.endswith(" http://localhost:8000/\n")
    assert "Replace the address with one of your own views." in err


@time_machine.travel(NOW, tick=False)
def test_sets_every_option(user):
    old = generate_keys(user, name="ci")

    out, _ = run(
        *("ada", "--name", "ci", "--read-only", "--scope", "todos", "--scope", "events"),
        *("--allow-ip", "192.0.2.0/24", "--allow-ip", "2001:db8::/32", "--expires-in", "90d"),
        *("--grace", "24h", "--self-rotate", "--description", " Nightly "),
        *("--metadata", '{"team": "ops"}'),
    )

    key = ApiKey.objects.get()
    assert (key.name, key.description, key.metadata) == ("ci", "Nightly", {"team": "ops"})
    assert key.policies == {
        "scopes": ["todos", "events"],
        "read_only": True,
        "allowed_ips": ["192.0.2.0/24", "2001:db8::/32"],
        "rate_limit": "",
        "expires_at": NOW + timedelta(days=90),
        "self_rotate": True,
    }
    assert crypto.matches(old.api_secret, key.previous_digest)
    assert key.previous_expires_at == NOW + timedelta(hours=24)
    assert "ada (ci)" in out
    assert "Expires     2027-01-30 12:00 UTC" in out


def test_creates_users_who_can_only_use_the_api(user):
    run("robot", "ada", "--create-user")

    robot = get_user_model().objects.get(username="robot")
    assert not robot.has_usable_password()
    assert not robot.is_staff
    assert not robot.is_superuser
    user.refresh_from_db()
    assert user.has_usable_password()
    assert {key.user for key in ApiKey.objects.all()} == {robot, user}


def test_start_up_script_makes_a_key_only_once():
    arguments = ("robot", "--create-user", "--if-missing", "--format", "env")

    first, _ = run(*arguments)
    (key,) = ApiKey.objects.all()
    again, err = run(*arguments)

    assert first.count("API_SECRET=") == 1
    assert again == ""
    assert err == f"robot has the API key {key.api_key} already.\n"
    assert ApiKey.objects.get().secret_digest == key.secret_digest


def test_if_missing_makes_the_other_keys(make_user):
    for username in ("ada", "grace", "hedy", "joan"):
        make_user(username)
    user = get_user_model().objects.get
    present = generate_keys(user(username="ada"), name="ci")
    with time_machine.travel(NOW):
        expires_at = NOW + timedelta(days=1)
        expired = generate_keys(user(username="grace"), name="ci", expires_at=expires_at)
    revoke(generate_keys(user(username="hedy"), name="ci").instance)
    generate_keys(user(username="joan"))

    out, err = run("--all-active", "--if-missing", "--name", " ci ", "--format", "json")

    assert [json.loads(line)["user"] for line in out.splitlines()] == ["hedy", "joan"]
    assert sorted(err.splitlines()) == [
        f"ada (ci) has the API key {present.api_key} already.",
        f"grace (ci) has the API key {expired.api_key} (expired) already.",
    ]
    assert present.api_secret not in out + err


@pytest.mark.parametrize("wrong", [("--allow-ip", "x"), ("--name", "a\udcff"), ("--scope", '"')])
def test_if_missing_checks_the_options_of_a_key_that_is_there(user, keys, wrong):
    assert error_of("ada", "--if-missing", *wrong)


@pytest.mark.parallel
@pytest.mark.django_db(transaction=True)
def test_containers_that_start_together_make_one_key(make_user):
    make_user("robot")
    start = partial(run, "robot", "--if-missing", "--format", "env")

    printed, errors = at_once(*[start] * 4)

    assert errors == []
    assert ApiKey.objects.count() == 1
    assert sum("API_SECRET=" in out for out, _ in printed) == 1


def test_generates_for_all_active_users_with_few_statements(make_user, statements):
    model = get_user_model()
    model._default_manager.bulk_create(model(username=f"user{number}") for number in range(600))
    make_user("gone", is_active=False)

    with statements() as verbs:
        out, _ = run("--all-active", "--format", "json")

    names = [json.loads(line)["user"] for line in out.splitlines()]
    assert names == [f"user{number}" for number in range(600)]
    assert len(verbs) < 40


def test_prints_in_the_order_of_the_arguments(five_users):
    out, _ = run(*five_users[::-1])
    assert re.findall(r"^\w+$", out, re.MULTILINE) == five_users[::-1]


def test_two_names_of_one_user_get_one_secret(user, monkeypatch):
    """Some user models, and some databases, ignore case."""
    users = get_user_model().objects
    monkeypatch.setattr(users, "get_by_natural_key", lambda name: users.get(username=name.lower()))
    monkeypatch.setattr(generate_keys_command, "BATCH_SIZE", 1)

    out, _ = run("ada", "ADA", "--format", "json")

    (line,) = out.splitlines()
    assert crypto.matches(json.loads(line)["api_secret"], ApiKey.objects.get().secret_digest)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["ada", "nobody"], "There is no user 'nobody'.\nUse --create-user to create them."),
        (["ada", "gone"], "'gone' is inactive. Activate the user first.\nNothing was gen"),
        (["new", "nobody\x00", "--create-user"], "can't be a username"),
        (["new", "nobody\udcff", "--create-user"], "can't be a username"),
        (["no body", "--create-user"], "'no body' can't be a username: Enter a valid username."),
        (["ada", "nobody\udcff"], "There is no user"),
        (["ada", "--scope", 'a"b'], "is not a valid scope"),
        (["ada", "--allow-ip", "elsewhere"], "is not a valid address or network"),
        (["ada", "--name", "x" * 101], "at most 100 printable characters"),
        (["ada", "--expires-in", "0s"], "must be in the future"),
        (["ada", "expired"], "has expired"),
        (["--all-active"], "has expired"),
        ([], "Enter usernames"),
        (["ada", "--all-active"], "Enter usernames"),
        (["ada", "--grace", "soon"], "is not a duration"),
        (["ada", "--expires-in", "9999999d"], "is not a duration of less than a century"),
    ],
)
def test_generates_nothing_if_anything_is_wrong(make_user, monkeypatch, arguments, problem):
    monkeypatch.setattr(generate_keys_command, "BATCH_SIZE", 1)
    make_user("ada")
    make_user("gone", is_active=False)
    expired = generate_keys(make_user("expired")).instance
    ApiKey.objects.update(expires_at=NOW)

    assert problem in error_of(*arguments)

    assert ApiKey.objects.get().secret_digest == expired.secret_digest
    assert not get_user_model().objects.filter(username="new").exists()


def test_explains_that_a_username_is_not_enough_to_create_a_user(monkeypatch):
    def create_user(**fields):
        raise TypeError("missing 1 required argument: 'badge'")

    monkeypatch.setattr(get_user_model().objects, "create_user", create_user)

    error = error_of("robot", "--create-user")

    assert re.search(r"'badge'.*generate keys without --create-user", error)


def test_shows_progress_on_a_terminal_and_clears_it(five_users):
    out, shown = run_on_terminal("--all-active", "--format", "json")

    assert len(out.splitlines()) == 5
    start, *bars, blank, rest = shown.split("\r")
    assert (start, blank.strip(), rest) == ("", "", "")
    filled = [0, 16, 32, 40]
    numbers = ["0/5", "2/5", "4/5", "5/5"]
    assert bars == [
        f"[{'#' * count:<40}] {number}" for count, number in zip(filled, numbers, strict=True)
    ]
    assert len(blank) == len(bars[0])
    assert run_on_terminal("--all-active", "--format", "json", "--verbosity", "0")[1] == ""


def test_clears_the_bar_before_an_error(five_users):
    generate_keys(get_user_model().objects.get(username="user4"))
    ApiKey.objects.update(expires_at=NOW)

    out, shown = run_on_terminal("--all-active")

    assert out == ""
    *_, bar, blank, message = shown.split("\r")
    assert bar.endswith("4/5")
    assert blank == " " * len(bar)
    assert "has expired" in message


@pytest.mark.parametrize(
    "metadata",
    ["", "ops", "null", "[]", "1" * 5000, "[" * 100_000],
    ids=["empty", "text", "null", "list", "long number", "deep"],
)
def test_metadata_is_a_json_object(user, metadata):
    assert """such as '{"team": "ops"}'""" in error_of("ada", f"--metadata={metadata}")
    assert not ApiKey.objects.exists()
