"""``generate_keys --from-env`` and ``--secret-file``: pairs that the operator chose."""

import json
import os
import subprocess
from datetime import datetime, timedelta
from functools import partial
from itertools import count

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.core.management import CommandError

from frappe_tokens import crypto
from frappe_tokens.keys import revoke
from frappe_tokens.models import ApiKey

from ..test_parallel import at_once
from . import running

NOON = datetime.fromisoformat("2030-02-28T12:00:00+00:00")
API_KEY = "ftk_robot"
SECRET = "Canary" * 6
PAIR = f"{API_KEY}:{SECRET}"

run = partial(running.run, "generate_keys")
error_of = partial(running.error_of, "generate_keys")

pytestmark = pytest.mark.django_db


@pytest.fixture
def write(tmp_path):
    """Writes a file, and returns the arguments for it."""

    def write(content=PAIR):
        path = tmp_path / "a pair"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return ("--secret-file", str(path))

    return write


@pytest.fixture
def from_env(monkeypatch):
    """Sets a variable, and returns the arguments for it."""

    def set_variable(value=PAIR):
        monkeypatch.setenv("ROBOT_TOKEN", value)
        return ("--from-env", "ROBOT_TOKEN")

    return set_variable


@pytest.mark.parametrize("way", ["write", "from_env"])
def test_container_that_starts_again_changes_nothing(request, way):
    arguments = request.getfixturevalue(way)()

    first = run("robot", "--create-user", *arguments)
    (stored,) = ApiKey.objects.values()
    again = run("robot", "--create-user", *arguments)

    assert first == (f"Stored the API key {API_KEY} of robot.\n", "")
    expected = f"The API key {API_KEY} of robot has this secret already. Nothing was changed.\n"
    assert again == (expected, "")
    assert crypto.matches(SECRET, stored["secret_digest"])
    assert ApiKey.objects.values().get() == stored
    robot = get_user_model().objects.get()
    assert (robot.get_username(), robot.has_usable_password()) == ("robot", False)


@time_machine.travel(NOON, tick=False)
def test_sets_every_option_and_follows_a_rotation(user, write):
    options = ("ada", "--name", "ci", "--read-only", "--scope", "todos", "--grace", "24h")
    options += ("--allow-ip", "192.0.2.0/24", "--expires-in", "90d")
    run(*options, *write())

    out, err = run(*options, *write(f"{API_KEY}:{SECRET * 2}"))
    (key,) = ApiKey.objects.all()
    old_out, _ = run(*options, *write())

    works_until = "works until 2030-03-01 12:00 UTC.\n"
    assert (
        out
        == f"Rotated the secret of the API key {API_KEY} of ada (ci). The old secret {works_until}"
    )
    assert err == ""
    assert (key.name, key.read_only, key.scopes) == ("ci", True, ["todos"])
    assert (key.allowed_ips, key.expires_at) == (["192.0.2.0/24"], NOON + timedelta(days=90))
    assert crypto.matches(SECRET * 2, key.secret_digest)
    assert crypto.matches(SECRET, key.previous_digest)
    assert old_out == (
        f"The API key {API_KEY} of ada (ci) has a newer secret. Nothing was changed. "
        f"The given one {works_until}"
    )
    assert ApiKey.objects.get().secret_digest == key.secret_digest


def test_says_what_an_unchanged_key_keeps(user, write):
    run("ada", *write())

    _, err = run("ada", "--read-only", "--scope", "todos", "--expires-in", "90d", *write())

    assert err == (
        "The key keeps its own scopes, read_only. Change them in the admin or with change_key().\n"
    )
    assert not ApiKey.objects.get().read_only


@pytest.mark.parametrize("peppers", [[], ["x" * 32]])
def test_warns_of_a_short_secret_without_a_pepper(user, write, settings, peppers):
    settings.FRAPPE_TOKENS = {"PEPPERS": peppers}

    _, err = run("ada", *write(f"{API_KEY}:{SECRET[:31]}"))

    assert ("set FRAPPE_TOKENS['PEPPERS']" in err) != bool(peppers)


def test_prints_no_secret_for_programs(user, write, from_env, client):
    out, err = run("ada", "--format", "json", *write())
    assert json.loads(out) == {"user": "ada", "name": "", "api_key": API_KEY, "outcome": "created"}
    assert err == f"Stored the API key {API_KEY} of ada.\n"

    out, _ = run("ada", "--format", "env", *write())
    assert out == f'# "ada"\nAPI_KEY={API_KEY}\n'

    for arguments in (write(), from_env()):
        out, _ = run("ada", "--format", "curl", *arguments)
        assert SECRET not in out
        shown = out.replace("curl", "printf '%s\\n'", 1)
        shell = subprocess.run(["sh", "-c", shown], capture_output=True, text=True, check=True)
        assert shell.stdout.splitlines() == [
            "-H",
            f"Authorization: token {PAIR}",
            "http://localhost:8000/api/method/frappe.auth.get_logged_user",
        ]


@pytest.mark.parametrize(
    "content", [f"{PAIR}\n", f"{PAIR}\r\n", f"\ufeff{PAIR}"], ids=["LF", "CR LF", "byte order mark"]
)
def test_reads_variants_of_a_file(user, write, content):
    run("ada", *write(content))

    assert crypto.matches(SECRET, ApiKey.objects.get().secret_digest)


def test_reads_a_pipe(user):
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as end:
        end.write(PAIR)

    run("ada", "--secret-file", f"/dev/fd/{reader}")
    os.close(reader)

    assert ApiKey.objects.get().api_key == API_KEY


MALFORMED = "must contain <api_key>:<api_secret>."
UNPRINTABLE = "must have at most 256 printable ASCII characters"


@pytest.mark.parametrize(
    ("way", "content", "problem"),
    [
        ("write", "", "The file of --secret-file is empty."),
        ("write", "\n", "The file of --secret-file is empty."),
        ("write", SECRET, f"The file of --secret-file {MALFORMED}"),
        ("write", f"{PAIR}{'x' * 1000}", "is too big for <api_key>:<api_secret>."),
        ("write", f"{PAIR}\xff".encode("latin-1"), "of --secret-file is not text in UTF-8."),
        ("write", f"{PAIR}\n\n", UNPRINTABLE),
        ("write", f"{PAIR}\0", UNPRINTABLE),
        ("write", f"user,{PAIR} ", UNPRINTABLE),
        ("write", f"{SECRET}:{API_KEY}", "The API key is a secret. Are the two mixed up?"),
        ("write", f"{SECRET}:robot", "The secret can be guessed"),
        ("from_env", "", "The variable of --from-env is empty or not set."),
        ("from_env", SECRET, f"The variable of --from-env {MALFORMED}"),
        ("from_env", f"{PAIR}\udcff", UNPRINTABLE),
    ],
)
def test_refuses_what_is_not_a_pair(request, db, way, content, problem):
    arguments = request.getfixturevalue(way)(content)

    error = error_of("robot", "--create-user", *arguments)

    assert problem in error
    assert SECRET[:11] not in error
    assert not get_user_model().objects.exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["robot", "--from-env", "NOT_SET"], "The variable of --from-env is empty or not set."),
        (["robot", "--from-env", PAIR], "takes the name of an environment variable, not its value"),
        (["robot", "--from-env", ""], "takes the name of an environment variable, not its value"),
        (["robot", "--secret-file", PAIR], "can't be read: No such file or directory."),
        (["robot", "--secret-file", ""], "can't be read: No such file or directory."),
        (["robot", "--secret-file", "/"], "can't be read: Is a directory."),
        (["robot", "--secret-file", "/dev/zero"], "is too big"),
        (["robot", "--from-env", "A", "--secret-file", "b"], "not allowed with argument"),
        (["--from-env", "A"], "Enter one username"),
        (["robot", "ada", "--from-env", "A"], "Enter one username"),
        (["robot", "robot", "--from-env", "A"], "Enter one username"),
        (["--all-active", "--from-env", "A"], "Enter one username"),
        (["robot", "--all-active", "--secret-file", "a"], "Enter one username"),
        (["robot", "--if-missing", "--secret-file", "a"], "neither --all-active nor --if-missing"),
    ],
)
def test_refuses_wrong_arguments(arguments, problem):
    error = error_of(*arguments, "--create-user")

    assert problem in error
    assert SECRET not in error
    assert not get_user_model().objects.exists()


def test_creates_no_user_for_a_pair_that_is_refused(user, write):
    run("ada", *write())

    error = error_of("robot", "--create-user", *write())

    assert error == f"API key {API_KEY} belongs to another user."
    assert [found.get_username() for found in get_user_model().objects.all()] == ["ada"]


@pytest.mark.parametrize("wrong", [("nobody",), ("gone",), ("ada", "--name", "x" * 101)])
def test_refuses_a_wrong_user_or_option(make_user, user, write, wrong):
    make_user("gone", is_active=False)

    assert error_of(*wrong, *write())
    assert not ApiKey.objects.exists()


def test_says_what_to_do_about_a_revoked_key(user, write):
    run("ada", *write())
    revoke(ApiKey.objects.get())

    assert "Choose a pair with another API key." in error_of("ada", *write())


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("way", ["write", "from_env"])
def test_error_page_about_a_failure_hides_the_secret(request, user, settings, debug, way):
    settings.DEBUG = debug
    arguments = request.getfixturevalue(way)()

    with running.failing("INSERT"), pytest.raises(RuntimeError) as raised:
        run("ada", *arguments)

    page = running.error_page(raised)
    assert "_set_up_pair" in page
    assert SECRET not in page


@pytest.mark.parametrize("ending", ["\xff", "\n\n"])
def test_error_page_about_a_wrong_file_hides_its_content(user, write, ending):
    with pytest.raises(CommandError) as raised:
        run("ada", *write(f"{PAIR}{ending}".encode("latin-1")))

    page = running.error_page(raised)
    assert "_set_up_pair" in page
    assert SECRET not in page


def test_user_that_another_process_creates_meanwhile_is_found(user, write, monkeypatch):
    users, calls = get_user_model().objects, count()

    def find(name):
        if next(calls) == 0:
            raise get_user_model().DoesNotExist
        return users.get(username=name)

    monkeypatch.setattr(users, "get_by_natural_key", find)

    out, _ = run("ada", "--create-user", *write())

    assert out == f"Stored the API key {API_KEY} of ada.\n"


@pytest.mark.parallel
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("create", [False, True])
def test_containers_that_start_together_never_fail(make_user, write, create):
    if not create:
        make_user("robot")
    arguments = ("robot", *["--create-user"] * create, *write())

    printed, errors = at_once(*[lambda: run(*arguments)] * 8)

    assert errors == []
    assert sum(out.startswith("Stored") for out, _ in printed) == 1
    assert sum("Nothing was changed." in out for out, _ in printed) == 7
    assert ApiKey.objects.count() == get_user_model().objects.count() == 1
