from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, sync_playwright

from tests.conftest import PASSWORD
from tests.groups import leave_out

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

# Nothing is to be fetched from elsewhere, and root may not use the sandbox.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium():
    if CHROMIUM is None:
        leave_out("browser", "Chromium is not installed (Debian: apt-get install chromium)")
    # Playwright's own loop runs in the thread of the tests, which use the database as usual.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@dataclass
class Visitor:
    """A signed-in user at the admin in one browser window."""

    page: Page
    site: str
    complaints: list[str] = field(default_factory=list)
    folder: Path | None = None

    def open(self, path):
        self.page.goto(self.site + path)

    def shoot(self, name):
        """Keep a picture, where there is a folder for it (``SCREENSHOT_DIR``)."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        picture = self.folder / f"{name}.png"
        try:
            self.page.screenshot(path=picture)
        except PlaywrightError:
            # On a busy machine headless Chromium sometimes has no frame to show yet.
            self.page.screenshot(path=picture)


@pytest.fixture
def visit(chromium, live_server):
    """Opens windows: ``visit(user, color_scheme="dark")``.

    Every window runs under the strict Content-Security-Policy of the test settings; a violation
    or an error in a script fails the test.
    """
    folder = os.environ.get("SCREENSHOT_DIR")
    contexts = []
    visitors = []

    def open_window(user, **options):
        context = chromium.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(10_000)
        visitor = Visitor(
            context.new_page(), live_server.url, folder=Path(folder) if folder else None
        )
        visitors.append(visitor)
        visitor.page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
        visitor.page.on(
            "console",
            lambda message: (
                visitor.complaints.append(message.text)
                if "Content Security Policy" in message.text
                else None
            ),
        )
        visitor.open("/admin/login/?next=/admin/")
        visitor.page.fill("#id_username", user.get_username())
        visitor.page.fill("#id_password", PASSWORD)
        visitor.page.click("[type=submit]")
        visitor.page.wait_for_url("**/admin/")
        return visitor

    yield open_window
    complaints = [complaint for visitor in visitors for complaint in visitor.complaints]
    for context in contexts:
        context.close()
    assert complaints == []
