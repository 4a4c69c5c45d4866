"""``manage.py demo``, and what it prints."""

import io
import json
import os
import socket
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from frappe_tokens.keys import generate_keys
from frappe_tokens.keys.actors import Actor
from frappe_tokens.models import ApiKey
from testproject.todos.management.commands import demo
from testproject.todos.models import ToDo

PROJECT = Path(__file__).parent.parent.parent


def run_demo(*arguments):
    """What the demo prints."""
    printed = io.StringIO()
    call_command("demo", *arguments, stdout=printed)
    return printed.getvalue()


def commands(printed):
    return [line for line in printed.splitlines() if line.startswith("curl ")]


def paste(line):
    """What a shell answers to ``line``, which must be JSON."""
    done = subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(done.stdout)


@pytest.fixture(autouse=True)
def _debug(settings, monkeypatch):
    settings.DEBUG = True
    monkeypatch.delenv("PORT", raising=False)


@pytest.fixture
def served(monkeypatch):
    """The server is not started; here is what it would have been started with."""
    calls = []

    def call(name, *arguments, **options):
        if name == "runserver":
            calls.append((*arguments, options))
        else:
            call_command(name, *arguments, **options)

    monkeypatch.setattr(demo, "call_command", call)
    return calls


def test_each_command_can_be_pasted(live_server):
    printed = run_demo("--no-serve")
    lines = [line.replace("http://127.0.0.1:8000", live_server.url) for line in commands(printed)]
    assert [paste(line) for line in lines[:3]] == [{"message": "api-user"}] * 3
    for scheme, line in zip(("token", "Basic", "Bearer"), lines[:3], strict=True):
        assert f"Authorization: {scheme} " in line
    listed = paste(lines[3])["data"]
    assert {row["description"] for row in listed} == {
        sample["description"] for sample in demo.SAMPLES
    }
    posted = paste(lines[4])
    assert (posted["consumer"], posted["user"]) == ("Door sensor", "api-user")
    assert set(paste(lines[5])) == {"access_token", "expires_in", "token_type", "scope"}
    assert len(paste(lines[6])["data"]) == len(listed)
    # The one that a code has to be put into first.
    assert paste(lines[7])["error"] == "invalid_grant"
    assert len(lines) == 8


def test_the_manager_can_do_in_the_admin_what_it_says(db, client):
    printed = run_demo("--no-serve")
    login = next(line for line in printed.splitlines() if "Login" in line)
    username, _, password = login.split()[1:]
    assert client.login(username=username, password=password)
    manager = get_user_model().objects.get(username="manager")
    assert manager.is_staff
    assert not manager.is_superuser
    api_user = get_user_model().objects.get(username="api-user")
    assert Actor(manager).may_generate_for(api_user)
    assert Actor(manager).may_generate_for(manager)
    for page in ("", "auth/user/", f"auth/user/{api_user.pk}/change/", "todos/todo/"):
        assert client.get(f"/admin/{page}").status_code == 200
    own = next(line for line in printed.splitlines() if "Keys " in line).split()[1]
    assert client.get(urlsplit(own).path).status_code == 200


def test_the_api_user_has_the_api_alone(db):
    run_demo("--no-serve")
    api_user = get_user_model().objects.get(username="api-user")
    assert not api_user.has_usable_password()
    assert not api_user.is_staff
    assert api_user.get_all_permissions() == {
        f"todos.{verb}_todo" for verb in ("view", "add", "change", "delete")
    }


def test_runs_again_with_new_secrets(db):
    first = run_demo("--no-serve")
    before = list(ApiKey.objects.order_by("pk").values_list("api_key", "secret_digest"))
    ToDo.objects.first().delete()
    second = run_demo("--no-serve")
    after = list(ApiKey.objects.order_by("pk").values_list("api_key", "secret_digest"))
    assert [key for key, _ in before] == [key for key, _ in after]
    assert not {digest for _, digest in before} & {digest for _, digest in after}
    assert not set(commands(first)) & set(commands(second))
    assert ToDo.objects.count() == len(demo.SAMPLES) - 1


def test_serves_on_the_port(
    db,
    served,
    monkeypatch,
    free_port,
):
    monkeypatch.setenv("PORT", str(free_port))
    assert f"http://127.0.0.1:{free_port}/admin/" in run_demo()
    assert served == [(f"127.0.0.1:{free_port}", {"use_reloader": False})]


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_says_which_port_to_take_instead(db, served, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv("PORT", str(other.getsockname()[1]))
        with pytest.raises(CommandError, match="PORT=8001 make demo"):
            run_demo()
    assert not served
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http", "\u0661"])
def test_refuses_what_is_no_port(monkeypatch, port):
    monkeypatch.setenv("PORT", port)
    with pytest.raises(CommandError, match="is not a port"):
        run_demo("--no-serve")


def test_refuses_without_debug(settings):
    settings.DEBUG = False
    with pytest.raises(CommandError, match="DEBUG only"):
        run_demo("--no-serve")


def test_says_so_where_a_user_cannot_have_keys(make_user):
    generate_keys(make_user("api-user"))
    get_user_model().objects.update(is_active=False)
    with pytest.raises(CommandError, match="api-user: The user is inactive"):
        run_demo("--no-serve")


def test_in_a_fresh_place_it_prepares_and_serves(tmp_path, free_port):
    environment = {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{tmp_path / 'demo.sqlite3'}",
        "DJANGO_SETTINGS_MODULE": "testproject.settings",
        "DJANGO_DEBUG": "1",
        "PORT": str(free_port),
        "PYTHONUNBUFFERED": "",
    }
    process = subprocess.Popen(
        [sys.executable, PROJECT / "manage.py", "demo"],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        printed = list(takewhile(lambda line: "/admin/" not in line, process.stdout))
        # The server comes up a moment later; curl asks again until it does.
        retry = "curl -s --retry 60 --retry-delay 1 --retry-connrefused"
        lines = [line.replace("curl -s", retry) for line in commands("".join(printed))]
        assert [paste(line) for line in lines[:3]] == [{"message": "api-user"}] * 3
    finally:
        process.terminate()
        process.communicate(timeout=60)
