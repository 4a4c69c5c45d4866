"""Headless Chromium, one for all tests of a process: Playwright can't be started twice."""

import os
import shutil

import pytest

from .groups import leave_out

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

# Chromium must load nothing from elsewhere, and root can't use the sandbox.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Chromium sends these hosts no Sec-Fetch-Site over plain HTTP.
    "--host-resolver-rules=MAP *.test 127.0.0.1",
]


@pytest.fixture(scope="session")
def chromium():
    if CHROMIUM is None:
        leave_out("browser", "Chromium is not installed (Debian: apt-get install chromium)")
    # Here, because other tests need no browser.
    from playwright.sync_api import sync_playwright

    # Playwright's loop runs in the thread of the tests, which use the database as usual.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
