"""Common HTTP clients authenticate by each of the three schemes."""

import json
import shutil
import subprocess
from collections.abc import Callable

import httpx
import pytest
import requests

from frappe_tokens.keys import GeneratedKeys

HeaderOf = Callable[[GeneratedKeys], str]
PATH = "/api/method/frappe.auth.get_logged_user"
ADA = {"message": "ada"}


def curl(*arguments):
    """What curl prints, which must be JSON."""
    program = shutil.which("curl")
    assert program, "Install curl: these tests run it."
    done = subprocess.run(
        [program, "-s", *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(done.stdout)


def test_requests(live_server, keys, header_of):
    with requests.Session() as session:
        session.headers["Authorization"] = header_of(keys)
        assert session.get(live_server.url + PATH).json() == ADA


def test_requests_with_its_own_basic(live_server, keys):
    pair = (keys.api_key, str(keys.api_secret))
    assert requests.get(live_server.url + PATH, auth=pair, timeout=60).json() == ADA


def test_httpx(live_server, keys, header_of):
    with httpx.Client(headers={"Authorization": header_of(keys)}) as client:
        assert client.get(live_server.url + PATH).json() == ADA


def test_httpx_with_its_own_basic(live_server, keys):
    pair = (keys.api_key, str(keys.api_secret))
    assert httpx.get(live_server.url + PATH, auth=pair).json() == ADA


def test_curl(live_server, keys, header_of):
    assert curl("-H", f"Authorization: {header_of(keys)}", live_server.url + PATH) == ADA


def test_curl_with_its_own_basic(live_server, keys):
    assert curl("-u", keys.token, live_server.url + PATH) == ADA


@pytest.mark.parametrize("slash", ["", "/"])
def test_curl_with_a_wrong_secret(live_server, keys, slash):
    said = curl(
        "-w",
        '{"status": %{http_code}}',
        "-o",
        "/dev/null",
        "-u",
        f"{keys.api_key}:x",
        live_server.url + PATH + slash,
    )
    assert said == {"status": 401}
