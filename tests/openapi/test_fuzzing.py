"""Schemathesis sends a live server what the schema allows, and much that it doesn't.

Every response under ``keys/`` and ``method/`` must be in the schema, and none a 5xx.
"""

import json
import os
import subprocess
import sys

import pytest
from django.core.servers.basehttp import WSGIRequestHandler

from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey, ApiRequestLog

from ..conftest import basic_header, token_header

pytestmark = pytest.mark.server

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
]
OURS = r"^/api/(keys|method/(frappe\.(auth|core)|ping|version))"

# How many times as many examples as in each run of the tests.
TIMES = int(os.environ.get("FUZZING", "1"))


@pytest.fixture
def known(user):
    """API keys that there are, the same in every run."""
    known = ["ftk_0000000000000001", "imported/with/a/slash", "ftk_revoked"]
    made = [ApiKey.objects.create(user=user, api_key=name, name=name) for name in known]
    revoke(made[-1])
    return known


@pytest.fixture
def fuzz(live_server, tmp_path, schema, known, settings, monkeypatch):
    """Runs schemathesis: ``fuzz("--header", "...")``. Returns its output and exit code."""
    # Nine responses in ten would be 429 otherwise.
    settings.FRAPPE_TOKENS = {"FAILURE_LIMIT": None, "SELF_SERVICE": True}
    # Django's server sends the headers by themselves, and the client waits 40 ms for the body.
    monkeypatch.setattr(WSGIRequestHandler, "disable_nagle_algorithm", True)
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(with_what_there_is(schema, known)))

    def run(*options, examples=1):
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run", str(path)),
            *("--url", live_server.url, "--checks", ",".join(CHECKS)),
            *("--generation-deterministic", "--continue-on-failure", "--no-color"),
            *("--max-examples", str(examples * TIMES)),
        ]
        return subprocess.run(
            [*command, *options], capture_output=True, text=True, timeout=300 * TIMES, cwd=tmp_path
        )

    return run


def with_what_there_is(schema, known):
    """Return ``schema``, in which users, keys and sources often exist."""
    for item in schema["paths"].values():
        operations = item.values()
        for parameter in (p for o in operations for p in o.get("parameters", [])):
            if parameter["name"] == "api_key":
                parameter["schema"] = {"anyOf": [{"enum": known}, parameter["schema"]]}
            elif parameter["name"] == "user":
                parameter["schema"] = {"anyOf": [{"enum": ["ada"]}, parameter["schema"]]}
            elif parameter["name"] == "Frappe-Authorization-Source":
                parameter["schema"]["enum"] = ["User"]
    for name in ("NewApiKey", "FrappeGenerateKeys"):
        properties = schema["components"]["schemas"][name]["properties"]
        properties["user"] = {"anyOf": [{"enum": ["ada"]}, properties["user"]]}
    return schema


def assert_conforms(done, operations):
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{operations} selected" in done.stdout


def test_every_response_to_anonymous_requests_is_documented(fuzz):
    assert_conforms(
        fuzz("--include-path-regex", OURS, "--phases", "coverage,fuzzing", examples=2),
        operations=16,
    )


# Each kind of user; the scheme decides nothing once the key is found.
@pytest.mark.parametrize(
    ("name", "header_of"), [("ada", token_header), ("manager", basic_header)], ids=["own", "others"]
)
def test_every_response_is_documented(fuzz, user, system_manager, name, header_of):
    # Under a name, so that no call replaces the secret that the next one is made with.
    caller = generate_keys({"ada": user, "manager": system_manager}[name], name="caller")

    assert_conforms(
        fuzz(
            *("--header", f"Authorization: {header_of(caller)}"),
            *("--include-path-regex", OURS, "--phases", "fuzzing"),
            examples=4,
        ),
        operations=16,
    )

    # Not only refusals: it reached what there is.
    met = set(ApiRequestLog.objects.values_list("status", flat=True))
    assert met >= {200, 204, 404}
