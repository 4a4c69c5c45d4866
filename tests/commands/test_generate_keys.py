import json
import os
import re
import shlex
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from io import StringIO

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper
from django.test.utils import override_settings

from frappe_tokens import crypto
from frappe_tokens.keys import generate_keys
from frappe_tokens.management.commands import generate_keys as generate_keys_command
from frappe_tokens.management.progress import progress_bar
from frappe_tokens.models import ApiKey

NOW = datetime(2026, 11, 1, 12, tzinfo=timezone.utc)

pytestmark = pytest.mark.django_db


def run(*arguments):
    out, err = StringIO(), StringIO()
    call_command("generate_keys", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_prints_key_and_secret_of_each_user(make_user):
    make_user("ada")
    make_user("grace")

    out, err = run("ada", "grace", "ada")

    assert re.findall(r"^\w+$", out, re.MULTILINE) == ["ada", "grace"]
    pairs = re.findall(r"API key     (\S+)\n  API secret  (\S+)\n", out)
    assert len(pairs) == ApiKey.objects.count() == 2
    for api_key, api_secret in pairs:
        assert crypto.matches(api_secret, ApiKey.objects.get(api_key=api_key).secret_digest)
    assert "aren't shown again" in err
    assert "fts_" not in err


def test_keeps_the_api_key_of_a_user_who_has_one(user):
    generated = generate_keys(user)

    out, _ = run("ada")

    assert generated.api_key in out
    assert generated.api_secret not in out


def test_prints_one_json_object_a_line(make_user):
    make_user("ada")
    make_user("grace")

    out, err = run("ada", "grace", "--format", "json", "--name", "ci")

    objects = [json.loads(line) for line in out.splitlines()]
    assert [set(made) for made in objects] == [{"user", "name", "api_key", "api_secret"}] * 2
    assert [(made["user"], made["name"]) for made in objects] == [("ada", "ci"), ("grace", "ci")]
    assert err == ""


def test_prints_variables_that_a_shell_reads(user):
    out, _ = run("ada", "--format", "env")

    shell = subprocess.run(
        ["sh", "-c", f'{out}\nprintf "%s:%s" "$API_KEY" "$API_SECRET"'],
        capture_output=True,
        text=True,
        check=True,
    )
    api_key, _, api_secret = shell.stdout.partition(":")
    assert crypto.matches(api_secret, ApiKey.objects.get(api_key=api_key).secret_digest)


def test_a_username_cannot_break_out_of_the_comment(make_user):
    make_user("x\ntouch /broken; '")

    out, _ = run("x\ntouch /broken; '", "--format", "env")

    assert [line[:1] for line in out.splitlines()] == ["#", "A", "A"]


def test_prints_a_curl_command_that_works(user, client):
    out, _ = run("ada", "--format", "curl", "--url", "https://api.example.org/")

    program, flag, header, url = shlex.split(out)
    assert (program, flag) == ("curl", "-H")
    name, _, value = header.partition(": ")
    assert name == "Authorization"
    path = url.removeprefix("https://api.example.org")
    assert client.get(path, headers={"authorization": value}).json() == {"message": "ada"}


@override_settings(ROOT_URLCONF="tests.commands.no_urls")
def test_prints_frappes_path_where_the_calls_are_not_served(user):
    out, _ = run("ada", "--format", "curl")

    assert out.endswith("http://localhost:8000/api/method/frappe.auth.get_logged_user\n")


@time_machine.travel(NOW, tick=False)
def test_sets_every_policy(user):
    out, _ = run(
        "ada",
        *("--name", "ci", "--read-only", "--scope", "todos", "--scope", "events"),
        *("--allow-ip", "192.0.2.0/24", "--allow-ip", "2001:db8::/32", "--expires-in", "90d"),
    )

    key = ApiKey.objects.get()
    assert key.name == "ci"
    assert key.read_only
    assert key.scopes == ["todos", "events"]
    assert key.allowed_ips == ["192.0.2.0/24", "2001:db8::/32"]
    assert key.expires_at == NOW + timedelta(days=90)
    assert "ada (ci)" in out
    assert "Expires     2027-01-30 12:00 UTC" in out


@time_machine.travel(NOW, tick=False)
def test_leaves_the_old_secret_its_grace(user):
    generated = generate_keys(user)

    run("ada", "--grace", "24h")

    key = ApiKey.objects.get()
    assert crypto.matches(generated.api_secret, key.previous_digest)
    assert key.previous_expires_at == NOW + timedelta(hours=24)


def test_makes_users_who_may_only_use_the_api():
    run("robot", "--create-user")

    robot = get_user_model().objects.get(username="robot")
    assert not robot.has_usable_password()
    assert not robot.is_staff
    assert not robot.is_superuser
    assert ApiKey.objects.get().user == robot


def test_create_user_takes_those_who_exist_as_they_are(user):
    run("ada", "--create-user")

    user.refresh_from_db()
    assert user.has_usable_password()
    assert ApiKey.objects.get().user == user


def test_generates_for_all_active_users(make_user):
    make_user("ada")
    make_user("grace")
    make_user("gone", is_active=False)

    out, _ = run("--all-active", "--format", "json")

    assert [json.loads(line)["user"] for line in out.splitlines()] == ["ada", "grace"]


def test_many_users_take_few_statements(
    make_user,
    statements,
):
    model = get_user_model()
    model._default_manager.bulk_create(model(username=f"user{number}") for number in range(600))

    with statements() as verbs:
        out, _ = run("--all-active", "--format", "json")

    names = [json.loads(line)["user"] for line in out.splitlines()]
    assert names == [f"user{number}" for number in range(600)]
    assert len(verbs) < 40


def test_prints_in_the_order_of_the_names_over_all_batches(make_user, monkeypatch):
    monkeypatch.setattr(generate_keys_command, "BATCH_SIZE", 2)
    names = [f"user{number}" for number in range(5)]
    for name in names:
        make_user(name)

    out, _ = run(*names[::-1])

    assert re.findall(r"^\w+$", out, re.MULTILINE) == names[::-1]


def test_two_names_of_one_user_make_one_secret(user, make_user, monkeypatch):
    """Some user models, and some databases, do not tell upper from lower case."""

    def get_by_natural_key(username):
        return get_user_model().objects.get(username=username.lower())

    monkeypatch.setattr(get_user_model().objects, "get_by_natural_key", get_by_natural_key)
    monkeypatch.setattr(generate_keys_command, "BATCH_SIZE", 1)

    out, _ = run("ada", "ADA", "--format", "json")

    (line,) = out.splitlines()
    assert crypto.matches(json.loads(line)["api_secret"], ApiKey.objects.get().secret_digest)


def test_all_active_users_or_none_of_them(make_user, monkeypatch):
    monkeypatch.setattr(generate_keys_command, "BATCH_SIZE", 1)
    make_user("ada")
    expired = generate_keys(make_user("expired")).instance
    ApiKey.objects.update(expires_at=NOW)

    with pytest.raises(CommandError, match=f"{expired.api_key} has expired"):
        run("--all-active")

    assert ApiKey.objects.get().secret_digest == expired.secret_digest


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["ada", "nobody"], "There is no user 'nobody'."),
        (["ada", "gone"], "User 'gone' is inactive."),
        (["new", "nobody\x00", "--create-user"], "cannot be a username"),
        (["new", "nobody\udcff", "--create-user"], "cannot be a username"),
        (["ada", "nobody\udcff"], "There is no user"),
        (["new", "no spaces", "--create-user"], "cannot be a username"),
        (["ada", "--scope", 'a"b'], "is not a valid scope"),
        (["ada", "--allow-ip", "elsewhere"], "is not a valid address or network"),
        (["ada", "--name", "x" * 101], "at most 100 printable characters"),
        (["ada", "--expires-in", "0s"], "must be in the future"),
        (["ada", "expired"], "has expired"),
        ([], "Enter usernames"),
        (["ada", "--all-active"], "Enter usernames"),
        (["ada", "--grace", "soon"], "is not a duration"),
        (["ada", "--expires-in", "999999999w"], "is too long"),
        (["ada", "--expires-in", "9999999d"], "is too long"),
    ],
)
def test_makes_nothing_for_anyone_where_something_is_wrong(make_user, arguments, complaint):
    make_user("ada")
    make_user("gone", is_active=False)
    expired = generate_keys(make_user("expired")).instance
    ApiKey.objects.filter(pk=expired.pk).update(expires_at=NOW)

    with pytest.raises(CommandError, match=re.escape(complaint)):
        run(*arguments)

    assert ApiKey.objects.exclude(user__username="expired").count() == 0
    assert not get_user_model().objects.filter(username="new").exists()


def test_says_how_to_go_on_where_a_username_is_not_enough(monkeypatch):
    def create_user(**fields):
        raise TypeError("missing 1 required argument: 'badge'")

    monkeypatch.setattr(get_user_model().objects, "create_user", create_user)

    with pytest.raises(CommandError, match=r"'badge'.*generate keys without --create-user"):
        run("robot", "--create-user")


def test_exits_with_1_on_the_command_line():
    done = subprocess.run(
        [sys.executable, "manage.py", "generate_keys"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "CommandError: Enter usernames, or use --all-active.\n"


# The progress bar


def on_terminal(*arguments):
    """What the command prints, and what reaches the terminal that its stderr is."""
    out = StringIO()
    controller, terminal = os.openpty()
    with os.fdopen(controller, "rb", buffering=0) as screen, os.fdopen(terminal, "w") as err:
        try:
            call_command("generate_keys", *arguments, stdout=out, stderr=err)
        except CommandError as error:
            err.write(str(error))
        # Read before the terminal is closed, which loses the rest on some systems.
        err.write("END")
        err.flush()
        shown = ""
        while not shown.endswith("END"):
            shown += screen.read(65_536).decode()
    return out.getvalue(), shown.removesuffix("END")


@pytest.fixture
def five_users(make_user, monkeypatch):
    monkeypatch.setattr(generate_keys_command, "BATCH_SIZE", 2)
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("LINES", "24")
    for number in range(5):
        make_user(f"user{number}")


def test_shows_progress_on_a_terminal_and_clears_it(five_users):
    out, shown = on_terminal("--all-active", "--format", "json")

    assert len(out.splitlines()) == 5
    blank = " " * len("[#############] 5/5")
    bars = [f"[{done:<13}] {count}/5" for done, count in bar_at(13, (0, 2, 4, 5), 5)]
    assert shown.split("\r") == ["", *bars, blank, ""]


def bar_at(width, counts, total):
    return [("#" * (width * count // total), count) for count in counts]


def test_clears_the_bar_before_it_says_what_is_wrong(five_users):
    generate_keys(get_user_model().objects.get(username="user4"))
    ApiKey.objects.update(expires_at=NOW)

    out, shown = on_terminal("--all-active")

    assert out == ""
    *_, bar, blank, message = shown.split("\r")
    assert bar.endswith("4/5")
    assert blank == " " * len(bar)
    assert "has expired" in message


def test_no_bar_where_silence_was_asked_for(five_users):
    _, shown = on_terminal("--all-active", "--format", "json", "--verbosity", "0")
    assert shown == ""


def test_a_window_that_is_made_narrower_keeps_nothing_of_a_longer_bar(
    monkeypatch,
):
    screen = StringIO()
    screen.isatty = lambda: True
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setenv("COLUMNS", "20")
    with progress_bar(OutputWrapper(screen), 10, 1) as show:
        monkeypatch.setenv("COLUMNS", "14")
        show(5)
        monkeypatch.setenv("COLUMNS", "3")  # narrower than the numbers
        show(10)

    assert screen.getvalue().split("\r") == [
        "",
        "[            ] 0/10",
        "[###   ] 5/10      ",
        "[#] 10/10    ",
        "         ",
        "",
    ]


def test_no_bar_for_nothing():
    screen = StringIO()
    screen.isatty = lambda: True
    with progress_bar(OutputWrapper(screen), 0, 1) as show:
        show(0)
    assert screen.getvalue() == ""


def test_no_bar_where_stderr_is_no_terminal(five_users):
    reader, writer = os.pipe()
    with os.fdopen(reader) as piped:
        with os.fdopen(writer, "w") as err:
            call_command("generate_keys", "--all-active", stdout=StringIO(), stderr=err)
        assert piped.read() == "Store the secrets now. They aren't shown again.\n"
