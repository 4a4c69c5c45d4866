"""Swagger UI and Redoc of the project of the page about OpenAPI."""

import re
import subprocess
import sys
from typing import NamedTuple

import pytest
from playwright.sync_api import expect

from tests.openapi.page import make_project

pytestmark = [pytest.mark.browser, pytest.mark.process]

# A second source, so that the operations have the header.
SOURCES = 'FRAPPE_TOKENS = {"SOURCES": {"Device": "frappe_tokens.ApiKey"}}'
SERVE = """
import django

django.setup()

from django.contrib.auth.models import User
from django.core.management import call_command

from frappe_tokens.keys import generate_keys

call_command("migrate", verbosity=0)
print(generate_keys(User.objects.create_user("ada")).token)
call_command("runserver", "127.0.0.1:0", use_reloader=False)
"""
WHO = "/api/method/frappe.auth.get_logged_user/"


class Site(NamedTuple):
    url: str
    api_key: str
    api_secret: str


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Serve the project, with a key of ada."""
    folder = tmp_path_factory.mktemp("openapi")
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-u", "-c", SERVE],
            env=make_project(folder, SOURCES),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            token = next(process.stdout).strip()
            started = next(line for line in process.stdout if "http://" in line)
            yield Site(re.search(r"http://[^/]+", started)[0], *token.split(":"))
        finally:
            process.terminate()


@pytest.fixture
def site(served):
    return served.url


@pytest.mark.parametrize(
    ("scheme", "fields"),
    [
        ("apiKeyToken", ["token {0.api_key}:{0.api_secret}"]),
        ("apiKeyBasic", ["{0.api_key}", "{0.api_secret}"]),
        ("apiKeyBearer", ["{0.api_key}:{0.api_secret}"]),
    ],
)
def test_swagger_ui_calls_with_each_scheme(open_page, served, scheme, fields):
    page = open_page("/api/swagger/")
    page.get_by_role("button", name="Authorize").click()
    form = page.locator(".auth-container").filter(has_text=scheme)
    for place, field in enumerate(fields):
        form.locator("input").nth(place).fill(field.format(served))
    form.get_by_role("button", name="Apply credentials").click()
    page.locator(".btn-done").first.click()

    operation = page.locator(".opblock").filter(has_text=WHO)
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    with page.expect_request(f"**{WHO}") as sent:
        operation.get_by_role("button", name="Execute").click()

    expect(operation.locator(".live-responses-table .response-col_status").last).to_have_text("200")
    expect(operation.locator(".live-responses-table")).to_contain_text('"message": "ada"')
    assert "frappe-authorization-source" not in sent.value.headers


def test_redoc_shows_the_schemes_and_the_operations(open_page, problems):
    page = open_page("/api/redoc/")

    for text in ("apiKeyToken", "apiKeyBasic", "apiKeyBearer", "/api/report/", WHO):
        # Redoc takes seconds to render on a busy machine.
        expect(page.locator("body")).to_contain_text(text, timeout=60_000)
    # As the page says about its policy.
    hosts = ("https://fonts.googleapis.com/", "https://cdn.redoc.ly/")
    problems[:] = [text for text in problems if not any(host in text for host in hosts)]
