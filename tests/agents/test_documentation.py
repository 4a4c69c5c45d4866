"""The page about agents, done step by step."""

import json
import os
import re
import shlex
import string
import subprocess
import sys

import pytest
import requests
from django.core.management import call_command
from django.test import Client

from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey
from testproject.mcp.views import Endpoint
from tests.client import JSON
from tests.documentation import blocks, page
from tests.oauth.conftest import (  # noqa: F401 - pytest finds fixtures by their names here
    METHODS,
    issue,
    public,
)

from .test_endpoint import WATER, message

PAGE = page("how-to/give-an-agent-access")
SETTINGS = [block for block in blocks(PAGE, "python") if "FRAPPE_TOKENS = " in block]
FILES = [json.loads(block)["mcpServers"]["todos"] for block in blocks(PAGE, "json")]
GENERATE, CURL = (
    block for block in blocks(PAGE, "sh") if not block.startswith("frappectl auth login")
)
(PYTHON,) = (block for block in blocks(PAGE, "python") if "import mcp" in block or "mcp " in block)
TABLE = re.findall(r"^\| ((?:API key|access token) .+?) \| (.+) \|$", PAGE, re.MULTILINE)


@pytest.fixture
def keys(ada):
    return generate_keys(ada)


def environment(keys):
    return {"API_KEY": keys.api_key, "API_SECRET": str(keys.api_secret)}


def run(command, keys, live_server):
    """Return what a command prints."""
    command = [part.replace("https://example.com", live_server.url) for part in command]
    done = subprocess.run(
        command,
        env={**os.environ, **environment(keys)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("block", SETTINGS)
def test_settings_let_agents_register(db, settings, block):
    names = {}
    exec(block, names)  # noqa: S102
    settings.FRAPPE_TOKENS = names["FRAPPE_TOKENS"]
    metadata = {"redirect_uris": ["http://127.0.0.1/"], "scope": "read write todos openid all"}

    answer = Client().post(f"{METHODS}register_client", metadata, content_type=JSON)

    assert answer.status_code == 201
    scopes = names["FRAPPE_TOKENS"]["OAUTH_REGISTRATION_SCOPES"]
    assert set(answer.json()["scope"].split()) == set(scopes)


def test_files_of_clients(keys, live_server):
    by_oauth, by_key = FILES
    token = string.Template(by_key["headers"]["Authorization"]).substitute(environment(keys))
    url = by_key["url"].replace("https://example.com", live_server.url)
    assert {**by_oauth, "headers": by_key["headers"]} == by_key

    asked = requests.post(url, json=message("tools/list"), timeout=30)
    headers = {"Authorization": token}
    listed = requests.post(url, json=message("tools/list"), headers=headers, timeout=30)

    assert asked.status_code == 401
    assert f'resource_metadata="{live_server.url}/.well-known/' in asked.headers["WWW-Authenticate"]
    assert len(listed.json()["result"]["tools"]) == 3


def test_command_makes_the_key_of_an_agent(ada, capsys):
    call_command(*shlex.split(GENERATE)[2:])

    assert set(re.findall("^(?:export )?([A-Z_]+)=", capsys.readouterr().out, re.MULTILINE)) >= {
        "API_KEY",
        "API_SECRET",
    }
    key = ApiKey.objects.get()
    assert (key.user, key.name, key.scopes, key.read_only) == (ada, "assistant", ["todos"], True)
    assert key.expires_at


@pytest.mark.once
def test_clients(keys, live_server):
    assert run([sys.executable, "-c", PYTHON], keys, live_server) == "ada\n"
    answer = json.loads(run(["sh", "-ec", CURL], keys, live_server))
    assert answer["result"]["structuredContent"] == {"user": "ada"}


@pytest.mark.parametrize(("credential", "cells"), TABLE, ids=[row for row, _ in TABLE])
def test_table(ada, issue, credential, cells):  # noqa: F811 - the fixture
    scopes = " ".join(re.findall("`(.+?)`", credential))
    if credential.startswith("API key"):
        read_only = credential.endswith("read-only")
        header = f"Bearer {generate_keys(ada, scopes=scopes.split(), read_only=read_only).token}"
    else:
        header = issue(ada, scopes).header

    def call(tool):
        sent = message("tools/call", name=tool, arguments=WATER if tool == "add_todo" else {})
        headers = {"Authorization": header}
        answer = Client().post("/api/mcp", sent, content_type=JSON, headers=headers)
        return "yes" if answer.status_code == 200 else f"`{answer.json()['code']}`"

    assert cells.split(" | ") == [call(tool) for tool in ("whoami", "list_todos", "add_todo")]


def test_table_is_complete():
    assert len(TABLE) == 7


def test_view_has_the_attributes_of_the_example():
    (example,) = (block for block in blocks(PAGE, "python") if "class Endpoint" in block)
    names = {}
    exec(example, names)  # noqa: S102

    shown = {name for name in vars(names["Endpoint"]) if not name.startswith("_")}
    assert shown == vars(Endpoint).keys() & shown
    assert names["Endpoint"].authentication_classes[0] == Endpoint.authentication_classes[0]
