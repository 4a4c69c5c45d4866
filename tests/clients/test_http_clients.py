"""Common HTTP clients authenticate by each scheme, and by their own Basic authentication."""

import json
import subprocess

import httpx
import pytest
import requests

PATH = "/api/method/frappe.auth.get_logged_user"
ADA = {"message": "ada"}


def curl(*arguments):
    """Return what curl prints, which must be JSON."""
    return json.loads(subprocess.check_output(["curl", "-s", *arguments], timeout=60))


def test_each_scheme(live_server, keys, header_of):
    url, header = live_server.url + PATH, header_of(keys)

    assert requests.get(url, headers={"Authorization": header}, timeout=60).json() == ADA
    assert httpx.get(url, headers={"Authorization": header}).json() == ADA
    assert curl("-H", f"Authorization: {header}", url) == ADA


def test_basic_of_the_client(live_server, keys):
    url, pair = live_server.url + PATH, (keys.api_key, str(keys.api_secret))

    assert requests.get(url, auth=pair, timeout=60).json() == ADA
    assert httpx.get(url, auth=pair).json() == ADA
    assert curl("-u", keys.token, url) == ADA


@pytest.mark.parametrize("slash", ["", "/"])
def test_wrong_secret(live_server, keys, slash):
    url = live_server.url + PATH + slash

    status = curl("-w", "%{http_code}", "-o", "/dev/null", "-u", f"{keys.api_key}:x", url)

    assert status == 401
