"""Runs every example of docs/clients.md."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from frappe_tokens import crypto
from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey

from ..groups import leave_out

pytestmark = pytest.mark.once

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGE = (DOCS / "clients.md").read_text()
# (heading, language, code) of each block.
BLOCKS = [
    (section.partition("\n")[0], language, code)
    for section in PAGE.split("\n## ")[1:]
    for language, code in re.findall(r"^```(\w+)\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
]
PYTHON = [(heading, code) for heading, language, code in BLOCKS if language == "python"]
ROTATION = "A job that rotates its own key"
SHELL = [code for heading, _, code in BLOCKS if heading == "curl"]
JAVASCRIPT = {heading: code for heading, language, code in BLOCKS if language == "js"}


def run(command, live_server, keys, cwd=None):
    credentials = {"API_KEY": keys.api_key, "API_SECRET": str(keys.api_secret)}
    return subprocess.run(
        [part.replace("https://example.com", live_server.url) for part in command],
        env={**os.environ, **credentials},
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
    )


def run_javascript(heading, live_server, keys, cwd=None):
    node = shutil.which("node") or leave_out("JavaScript", "Node.js is needed to run the examples")
    command = [node, "--input-type=module", "--eval", JAVASCRIPT[heading]]
    return run(command, live_server, keys, cwd)


def test_page_has_every_client():
    assert [heading for heading, _, _ in BLOCKS] == [
        *("curl", "curl", ROTATION, "requests", "httpx"),
        *("JavaScript", "frappe-js-sdk", "frappe-client", "frappectl"),
    ]
    assert "\n## Postman\n" in PAGE


def test_job_rotates_its_own_key(live_server, user, tmp_path):
    expires_at = timezone.now() + timedelta(days=91)
    keys = generate_keys(user, self_rotate=True, read_only=True, expires_at=expires_at)
    (code,) = [code for heading, _, code in BLOCKS if heading == ROTATION]

    done = run(["sh", "-e", "-c", code], live_server, keys, tmp_path)

    assert (done.stdout, done.stderr) == ("", "")
    (file,) = tmp_path.iterdir()
    assert stat.filemode(file.stat().st_mode) == "-rw-------"
    key = ApiKey.objects.get()
    assert crypto.matches(file.read_text(), key.secret_digest)
    assert key.expires_at < expires_at
    assert key.previous_expires_at == key.rotated_at + timedelta(days=1)


@pytest.mark.parametrize("code", SHELL, ids=["schemes", "by standard input"])
def test_shell(live_server, keys, code):
    done = run(["sh", "-e", "-c", code], live_server, keys)
    answers = done.stdout.replace("}{", "}\n{").splitlines()

    assert [json.loads(answer) for answer in answers] == [{"message": "ada"}] * code.count("curl ")
    assert done.stderr == ""


@pytest.mark.parametrize(("name", "code"), PYTHON, ids=[name for name, _ in PYTHON])
def test_python(live_server, keys, name, code):
    done = run([sys.executable, "-c", code], live_server, keys)
    assert done.stdout == "ada\n", done.stderr


def test_python_prints_why_it_is_refused(live_server, keys):
    revoke(keys.instance)

    done = run([sys.executable, "-c", dict(PYTHON)["requests"]], live_server, keys)

    assert (done.returncode, done.stderr) == (1, "key_revoked\n")


@pytest.mark.node
def test_fetch(live_server, keys):
    assert run_javascript("JavaScript", live_server, keys).stdout == "ada\n"
    revoke(keys.instance)
    assert "Error: 401 key_revoked" in run_javascript("JavaScript", live_server, keys).stderr


@pytest.mark.node
def test_frappe_js_sdk(sdk, live_server, keys):
    done = run_javascript("frappe-js-sdk", live_server, keys, cwd=sdk)
    assert done.stdout == "ada\n", done.stderr


def test_frappectl(live_server, keys, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.defpath]))
    (code,) = [code for heading, _, code in BLOCKS if heading == "frappectl"]

    done = run(["sh", "-e", "-c", code], live_server, keys)

    assert json.loads(done.stdout)["user"] == "ada", done.stderr


@pytest.mark.node
def test_postman(newman, live_server, keys, tmp_path):
    def collection(api_secret):
        """Return newman's exit code, and the names of the requests with their statuses."""
        exported = tmp_path / "run.json"
        command = [
            *(str(newman), "run", str(DOCS / "postman.json"), "--reporters", "json"),
            *("--reporter-json-export", str(exported)),
            *("--env-var", f"base_url={live_server.url}"),
            *("--env-var", f"api_key={keys.api_key}", "--env-var", f"api_secret={api_secret}"),
        ]
        done = run(command, live_server, keys)
        runs = json.loads(exported.read_text())["run"]["executions"]
        return done.returncode, [(run["item"]["name"], run["response"]["code"]) for run in runs]

    names = ["token", "Basic", "Bearer"]
    assert collection(str(keys.api_secret)) == (0, [(name, 200) for name in names])
    assert collection("wrong") == (1, [(name, 401) for name in names])
