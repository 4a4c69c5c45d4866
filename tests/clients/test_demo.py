"""``manage.py demo``, and the commands that it prints."""

import io
import json
import socket
import subprocess
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import Application

from frappe_tokens.keys import Actor, revoke
from frappe_tokens.models import ApiKey
from testproject import oauth
from testproject.events.models import EventConsumer
from testproject.todos.management.commands import demo
from testproject.todos.models import ToDo

from ..conftest import PASSWORD
from ..oauth.conftest import visit


def run_demo(*arguments):
    """Return what the demo prints."""
    printed = io.StringIO()
    call_command("demo", *arguments, stdout=printed)
    return printed.getvalue()


def commands(printed):
    return [line for line in printed.splitlines() if line.startswith("curl ")]


def paste(line):
    """Return what a shell prints for ``line``, which must be JSON."""
    command = ["sh", "-c", line]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def named_user(username):
    return get_user_model().objects.get(username=username)


@pytest.fixture(autouse=True)
def _debug(settings, monkeypatch):
    settings.DEBUG = True
    monkeypatch.delenv("PORT", raising=False)


@pytest.fixture
def served(monkeypatch):
    """Collect the arguments of runserver instead of starting it."""
    calls = []

    def call(name, *arguments, **options):
        if name == "runserver":
            calls.append((*arguments, options))
        else:
            call_command(name, *arguments, **options)

    monkeypatch.setattr(demo, "call_command", call)
    return calls


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_commands_can_be_pasted(live_server):
    printed = run_demo("--no-serve").replace("http://127.0.0.1:8000", live_server.url)

    lines = commands(printed)
    answers = [paste(line) for line in lines]

    for scheme, line in zip(("token", "Basic", "Bearer"), lines[:3], strict=True):
        assert f"Authorization: {scheme} " in line
    assert answers[:3] == [{"message": "api-user"}] * 3
    todos, event, token, same_todos, code, called = answers[3:]
    descriptions = {row["description"] for row in todos["data"]}
    assert descriptions == {sample["description"] for sample in demo.SAMPLES}
    assert (event["consumer"], event["user"]) == ("Door sensor", "api-user")
    assert set(token) == {"access_token", "expires_in", "token_type", "scope"}
    assert len(same_todos["data"]) == len(demo.SAMPLES)
    # The code has to be put in first.
    assert code["error"] == "invalid_grant"
    assert len(called["result"]["structuredContent"]["todos"]) == len(demo.SAMPLES)


def test_manager_can_use_the_admin(db, client):
    lines = run_demo("--no-serve").splitlines()

    login = next(line for line in lines if "Login" in line)
    username, _, password = login.split()[1:]
    assert client.login(username=username, password=password)
    manager, api_user = named_user("manager"), named_user("api-user")
    assert (manager.is_staff, manager.is_superuser) == (True, False)
    assert Actor(manager).may_generate_for(api_user)
    assert Actor(manager).may_generate_for(manager)
    consumer = EventConsumer.objects.get()
    pages = ["", "auth/user/", f"auth/user/{api_user.pk}/change/", "todos/todo/", "events/event/"]
    pages += [
        f"events/eventconsumer/{page}"
        for page in ("", "add/", f"{consumer.pk}/change/", f"{consumer.pk}/generate-keys/")
    ]
    for page in pages:
        assert client.get(f"/admin/{page}").status_code == 200
    assert client.get("/admin/events/event/add/").status_code == 403
    own = next(line for line in lines if "Keys " in line).split()[1]
    assert client.get(urlsplit(own).path).status_code == 200


def test_api_user_can_only_use_the_api(db):
    run_demo("--no-serve")

    user = named_user("api-user")
    assert not user.has_usable_password()
    assert not user.is_staff
    permissions = {f"todos.{verb}_todo" for verb in ("view", "add", "change", "delete")}
    assert user.get_all_permissions() == permissions


def test_second_run_generates_new_secrets_and_keeps_the_rest(db):
    first = run_demo("--no-serve")
    before = dict(ApiKey.objects.values_list("api_key", "secret_digest"))
    consumer = EventConsumer.objects.get()
    ToDo.objects.first().delete()

    second = run_demo("--no-serve")

    after = dict(ApiKey.objects.values_list("api_key", "secret_digest"))
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())
    assert not set(commands(first)) & set(commands(second))
    assert ToDo.objects.count() == len(demo.SAMPLES) - 1
    assert "Frappe-Authorization-Source: EventConsumer" in second
    assert EventConsumer.objects.get() == consumer
    revoke(consumer)
    run_demo("--no-serve")
    assert EventConsumer.objects.get(revoked_at=None).secret_digest


def test_port_is_chosen_by_the_environment(db, served, monkeypatch, free_port):
    monkeypatch.setenv("PORT", str(free_port))

    assert f"http://127.0.0.1:{free_port}/admin/" in run_demo()

    assert served == [(f"127.0.0.1:{free_port}", {"use_reloader": False})]


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http", "\u0661", None])
def test_impossible_port_and_one_in_use_are_refused(db, served, monkeypatch, port):
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv("PORT", port or str(other.getsockname()[1]))
        with pytest.raises(CommandError, match="is not a port" if port else "PORT=8001 make demo"):
            run_demo()

    assert not served
    assert not ApiKey.objects.exists()


def test_says_why_it_can_give_no_keys(db, settings):
    run_demo("--no-serve")

    EventConsumer.objects.update(expires_at=timezone.now())
    with pytest.raises(CommandError, match=r"Door sensor: .* has expired"):
        run_demo("--no-serve")
    get_user_model().objects.filter(username="api-user").update(is_active=False)
    with pytest.raises(CommandError, match="api-user: The user is inactive"):
        run_demo("--no-serve")
    settings.DEBUG = False
    with pytest.raises(CommandError, match="DEBUG only"):
        run_demo("--no-serve")


def test_application_gets_a_token_of_the_manager(live_server, monkeypatch):
    monkeypatch.setenv("PORT", live_server.url.rpartition(":")[2])
    # The live server is at another name of the same machine.
    printed = run_demo("--no-serve").replace("127.0.0.1", "localhost").splitlines()
    application = Application.objects.get(client_id=oauth.APP)
    application.redirect_uris = application.redirect_uris.replace("127.0.0.1", "localhost")
    application.save()
    manager = named_user("manager")
    manager.set_password(PASSWORD)
    manager.save()

    (url,) = (line for line in printed if line.startswith("http") and "authorize?" in line)
    assert "code_verifier" not in url
    back = visit("manager", url)
    (code,) = parse_qs(urlsplit(back).query)["code"]
    assert code in requests.get(back, timeout=30).text
    (command,) = (line for line in printed if "PUT_IN_THE_CODE" in line)
    token = paste(command.replace("PUT_IN_THE_CODE", code))

    assert token["scope"] == "read write todos openid"
    assert "refresh_token" in token


def test_clients_stay_and_get_a_new_secret(user):
    secrets = {oauth.confidential_client(user) for _ in range(2)}
    links = {oauth.public_client("http://127.0.0.1:8000").address for _ in range(2)}

    assert (len(secrets), len(links)) == (2, 2)
    public, service = Application.objects.order_by("-client_id")
    assert (public.client_id, public.client_type) == ("todo-app", "public")
    assert (service.client_id, service.user) == ("report-service", user)
    assert not {public.client_secret, service.client_secret} & {*secrets, ""}


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [("error", "access_denied", "access_denied"), ("error_description", "<b>", "&lt;b&gt;")],
)
def test_page_says_why_there_is_no_code(db, name, value, shown):
    page = Client().get("/oauth/callback/", {name: value}).content.decode()

    assert "got no access" in page
    assert shown in page
    assert "<b>" not in page
