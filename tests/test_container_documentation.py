"""What the page about services shows is parsed and, if possible, executed."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from django.core.management import call_command
from django.test import Client

from frappe_tokens.keys import generate_keys
from frappe_tokens.management.commands.generate_keys import Command
from frappe_tokens.models import ApiKey, ApiRequestLog

from .documentation import PAGES, ROOT, blocks, page

PAGE = page("how-to/make-keys-for-a-service")

CI, COMPOSE, KUBERNETES = ([*yaml.safe_load_all(block)] for block in blocks(PAGE, "yaml"))
(SITE,) = COMPOSE[0]["services"].values()
SECRET, DEPLOYMENT = KUBERNETES
POD = DEPLOYMENT["spec"]["template"]["spec"]
(SET_UP,), (SERVER,) = POD["initContainers"], POD["containers"]
PROBE = SERVER["livenessProbe"]["httpGet"]
(HOST,) = [header["value"] for header in PROBE["httpHeaders"] if header["name"] == "Host"]


@pytest.fixture
def documented_settings(settings):
    (block,) = [block for block in blocks(PAGE, "python") if "SECURE_REDIRECT_EXEMPT" in block]
    shown = {}
    exec(block, shown)  # noqa: S102 - our own documentation
    for name in shown.keys() - {"__builtins__"}:
        setattr(settings, name, shown[name])
    return settings


@pytest.fixture
def pair(tmp_path):
    """A file with a pair, made by the documented command."""
    (command,) = [block for block in blocks(PAGE, "sh") if "token_hex" in block]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(
        ["sh", "-ec", command], cwd=tmp_path, env={**os.environ, "PATH": path}, check=True
    )
    return tmp_path / COMPOSE[0]["secrets"]["robot"]["file"]


def test_parts_refer_to_each_other():
    assert SITE["secrets"] == list(COMPOSE[0]["secrets"])
    assert "--secret-file /run/secrets/robot " in SITE["command"][-1]

    (mount,), (volume,) = SET_UP["volumeMounts"], POD["volumes"]
    (key,) = SECRET["stringData"]
    assert f"--secret-file {mount['mountPath']}/{key} " in SET_UP["args"][0]
    assert mount["name"] == volume["name"]
    assert volume["secret"] == {"secretName": SECRET["metadata"]["name"], "defaultMode": 0o440}
    assert "volumeMounts" not in SERVER
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert labels == DEPLOYMENT["spec"]["selector"]["matchLabels"]
    assert SERVER["readinessProbe"]["httpGet"] == PROBE
    assert PROBE["port"] == SERVER["ports"][0]["containerPort"]
    for script in (SITE["command"][-1], shlex.join(SERVER["command"])):
        assert f"--bind 0.0.0.0:{PROBE['port']}" in script


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_command_lines_are_accepted_by_the_commands_parser(path):
    text = path.read_text().replace("\\\n", " ")
    lines = re.findall(r"python manage\.py generate_keys (.*)", text)
    parser = Command().create_parser("manage.py", "generate_keys")

    for line in lines:
        arguments = shlex.split(re.split(r"[`>|]", line)[0], comments=True)
        assert parser.parse_args(arguments).users or "--all-active" in arguments


@pytest.mark.process
@pytest.mark.parametrize(
    ("start", "mounted"),
    [
        (SITE["command"], "/run/secrets/robot"),
        ([*SET_UP["command"], *SET_UP["args"]], "/run/secrets/robot/token"),
    ],
    ids=["Compose", "Kubernetes"],
)
def test_script_that_runs_twice_leaves_the_same_key(tmp_path, pair, start, mounted):
    programs = tmp_path / "bin"
    programs.mkdir()
    scripts = {
        "python": f'exec {shlex.quote(sys.executable)} "$@"',
        "gunicorn": 'echo "gunicorn $*"',
    }
    for name, script in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    *shell, script = start
    environment = {
        **{name: value for name, value in os.environ.items() if name != "REDIS_URL"},
        "DATABASE_URL": f"sqlite:///{tmp_path / 'site.sqlite3'}",
        "DJANGO_SETTINGS_MODULE": "testproject.settings",
        "PATH": f"{programs}:{os.environ['PATH']}",
    }

    command = [*shell, script.replace(mounted, str(pair))]
    options = {"cwd": ROOT, "env": environment, "stderr": subprocess.STDOUT, "text": True}
    first, again = (subprocess.check_output(command, **options) for _ in range(2))

    assert "Stored the API key ftk_robot of robot." in first
    assert "The API key ftk_robot of robot has this secret already. Nothing was changed." in again
    assert pair.read_text().strip().partition(":")[2] not in first + again
    assert ("gunicorn mysite.wsgi --bind" in again) == ("exec gunicorn" in script)


@pytest.mark.django_db
def test_service_of_the_page_gets_a_key(capsys):
    (command,) = [block for block in blocks(PAGE, "sh") if "reports" in block]
    arguments = re.search(r"generate_keys (.*?) >", command)[1]

    call_command("generate_keys", *shlex.split(arguments))

    key = ApiKey.objects.get(user__username="reports")
    assert key.read_only
    assert not key.user.has_usable_password()
    assert [line.split("=")[0] for line in capsys.readouterr().out.splitlines()[1:3]] == [
        *("API_KEY", "API_SECRET")
    ]


@pytest.mark.django_db(transaction=True)
def test_step_of_ci_calls_the_api(live_server, user):
    (step,) = CI[0]["steps"]
    keys = generate_keys(user)
    script = step["run"].replace("https://example.com", live_server.url)
    assert step["env"] == {name: f"${{{{ secrets.{name} }}}}" for name in ("API_KEY", "API_SECRET")}
    env = {**os.environ, "API_KEY": keys.api_key, "API_SECRET": str(keys.api_secret)}

    answer = subprocess.check_output(["sh", "-ec", script], env=env, text=True)

    assert answer == '{"message":"ada"}'


@pytest.mark.django_db
def test_placeholder_of_the_secret_is_refused(tmp_path):
    path = tmp_path / "token"
    path.write_text(SECRET["stringData"]["token"])

    with pytest.raises(Exception, match="must contain <api_key>:<api_secret>"):
        call_command("generate_keys", "robot", "--create-user", "--secret-file", str(path))


@pytest.mark.django_db
def test_probe_needs_no_query_and_is_not_logged(documented_settings, django_assert_num_queries):
    with django_assert_num_queries(0):
        response = Client().get(PROBE["path"], headers={"host": HOST})

    assert response.status_code == 200
    assert not ApiRequestLog.objects.exists()
    assert Client().get("/api/keys/", headers={"host": HOST}).status_code == 301


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("alive", [True, False])
def test_health_check_of_compose_fails_if_the_server_does_not_answer(
    live_server, documented_settings, alive
):
    kind, _, *arguments = SITE["healthcheck"]["test"]
    documented_settings.ALLOWED_HOSTS = [HOST] if alive else []
    arguments[-1] = arguments[-1].replace("127.0.0.1:8000", urlsplit(live_server.url).netloc)

    done = subprocess.run([sys.executable, *arguments], stderr=subprocess.DEVNULL, check=False)

    assert kind == "CMD"
    assert (done.returncode == 0) == alive
