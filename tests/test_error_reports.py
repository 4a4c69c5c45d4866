"""Reports of errors show no secret, wherever the error is raised, though they show variables.

``make trust PART=canaries`` raises one in every function. These are those that it had to tell of.
"""

import base64
import logging

import django
import pytest
from django.core import mail
from django.core.management import call_command
from django.db import OperationalError
from django.test import Client, RequestFactory
from django.utils.log import AdminEmailHandler
from django.views.debug import SafeExceptionReporterFilter, get_exception_reporter_filter

from frappe_tokens import credentials, crypto
from frappe_tokens.admin.csv_file import csv_file
from frappe_tokens.api import fields, key_actions
from frappe_tokens.contrib.oauth2.answering import hiding_variables
from frappe_tokens.crypto import Secret
from frappe_tokens.management import pairs
from frappe_tokens.management.commands import check_token, import_keys
from frappe_tokens.management.commands import generate_keys as generate_keys_command
from frappe_tokens.ui import snippets

from .client import JSON, technical_page
from .conftest import basic_header, token_header

TOKEN = "/api/method/frappe.integrations.oauth2.get_token"


class Broken(Exception):
    pass


def fail(*args, **kwargs):
    del args, kwargs  # or they would be shown
    raise Broken


class Limit(int):
    """A number that nothing can be compared with."""

    __lt__ = fail


@pytest.fixture(autouse=True)
def with_debug(settings):
    """sensitive_variables() does nothing then, and other reports don't know it at all."""
    settings.DEBUG = True


@pytest.fixture
def secret():
    return crypto.generate_api_secret()


def assert_hidden(page, secret):
    """Not even as part of something, or in Base64."""
    assert secret[:20] not in page
    for n in range(3):
        assert base64.b64encode(b"x" * n + secret.encode()).decode()[4:28] not in page


@pytest.mark.parametrize(
    ("header_of", "module", "name"),
    [
        (token_header, crypto.zlib, "crc32"),
        (basic_header, crypto.zlib, "crc32"),
        (basic_header, credentials.base64, "b64encode"),
    ],
)
def test_header(header_of, module, name, keys, monkeypatch):
    header = Secret(header_of(keys))
    with monkeypatch.context() as patched:
        patched.setattr(module, name, fail)
        page = technical_page(lambda: credentials.parse(header, "token", "basic"), Broken)
    assert_hidden(page, keys.api_secret)


def test_new_secret(monkeypatch):
    monkeypatch.setattr(crypto, "_random", lambda length: "swordfish" * 5)
    monkeypatch.setattr(crypto.zlib, "crc32", fail)
    page = technical_page(crypto.generate_api_secret, Broken)
    assert_hidden(page, "fts_" + "swordfish" * 5)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("owner", "name"),
    [(fields.TokenField, "to_internal_value"), (key_actions.credentials, "parse_found")],
)
def test_leaked_token(owner, name, secret, monkeypatch):
    monkeypatch.setattr(owner, name, fail)
    client = Client(raise_request_exception=False)
    content = {"token": f"key:{secret}"}
    response = client.post("/api/keys/revoke-leaked/", content, JSON)
    assert response.status_code == 500
    assert_hidden(response.content.decode(), secret)


@pytest.mark.parametrize(
    "findings",
    [[{"token": "key:secret", "type": "x"}], {"token": "key:secret"}],
)
def test_parsed_tokens_are_hidden(findings):
    hidden = fields.hidden(findings)
    assert hidden == findings
    assert "secret" in repr(findings)
    assert "secret" not in repr(hidden)


@pytest.mark.parametrize("data", [{}, {"token": 3}, "word", None, [None, {"token": []}]])
def test_what_has_no_token_is_left_alone(data):
    assert fields.hidden(data) == data


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["_curl", "_pairs", "_python", "_javascript", "Snippet"])
def test_programs(name, keys, monkeypatch):
    monkeypatch.setattr(snippets, name, fail)
    request = RequestFactory().get("/")
    page = technical_page(lambda: snippets.trial_of(request, keys, "A: b"), Broken)
    assert_hidden(page, keys.api_secret)


@pytest.mark.django_db
def test_csv_file(keys, monkeypatch):
    file = csv_file([(None, keys)])
    content = base64.b64decode(file.link.partition("base64,")[2]).decode()
    assert keys.api_secret in content
    assert not isinstance(file, str)
    assert "base64" not in repr(file)
    monkeypatch.setattr("frappe_tokens.admin.csv_file.CsvFile", fail)
    page = technical_page(lambda: csv_file([(None, keys)]), Broken)
    assert_hidden(page, file.link.partition("base64,")[2])
    assert_hidden(page, keys.api_secret)


@pytest.mark.django_db
def test_page_with_several_secrets_has_no_string_with_one(admin_client, user):
    # Sentry's traces have the strings of a template's context.
    form = {"action": "generate_keys", "_selected_action": user.pk}
    asked = admin_client.post("/admin/auth/user/", form)
    version = asked.context_data["version"]
    answer = admin_client.post("/admin/auth/user/", {**form, "version": version, "grace": "0"})
    file = answer.context_data["csv_file"]
    assert file.link in answer.content.decode()
    texts = [value for value in answer.context_data.values() if isinstance(value, str)]
    assert texts
    assert not any(file.link in text or "fts_" in text for text in texts)


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["text", "json", "env", "curl"])
def test_printed_secrets(kind, user, monkeypatch):
    monkeypatch.setattr(crypto, "generate_api_secret", lambda: Secret("fts_" + "swordfish" * 5))
    monkeypatch.setattr(generate_keys_command.Command, "_check_url", fail)
    page = technical_page(lambda: call_command("generate_keys", "ada", format=kind), Broken)
    assert_hidden(page, "fts_" + "swordfish" * 5)


def test_pair_from_a_file(tmp_path, secret, monkeypatch):
    path = tmp_path / "pair"
    path.write_text(f"key:{secret}\n")
    monkeypatch.setattr(pairs, "FILE_MAX_LENGTH", Limit(1000))
    page = technical_page(lambda: pairs._read_file(str(path)), Broken)
    assert_hidden(page, secret)


def test_line_of_an_import(tmp_path, secret, monkeypatch):
    path = tmp_path / "keys.csv"
    path.write_text(f"ada,key,{secret}\n")
    monkeypatch.setattr(import_keys, "_NO_TEXT", None)
    with path.open("rb") as file:
        page = technical_page(lambda: import_keys._read_line(file), AttributeError)
    assert secret[:20] not in page


@pytest.mark.parametrize("scheme", ["basic", "token"])
def test_checked_token(scheme, secret, monkeypatch):
    monkeypatch.setattr(check_token.urllib.request, "build_opener", fail)
    token = Secret(f"key:{secret}")
    page = technical_page(lambda: check_token._ask("http://x/", scheme, token), Broken)
    assert_hidden(page, secret)


SENT = {
    "grant_type": "refresh_token",
    "client_id": "app",
    "client_secret": "swordfish-of-the-client",
    "refresh_token": "swordfish-to-refresh",
}


def post_to_a_broken_toolkit(error, monkeypatch):
    """Let the toolkit fail with what was sent in its variables."""

    def create_token_response(self, request):
        sent = dict(request.POST)
        raise error(f"after {len(sent)}")

    view = "frappe_tokens.contrib.oauth2.views.GetToken.create_token_response"
    monkeypatch.setattr(view, create_token_response)
    return Client(raise_request_exception=False).post(TOKEN, SENT)


@pytest.fixture
def mailed(settings):
    """What Django mails to ADMINS, with variables."""
    root = "root@example.com"
    settings.ADMINS = [root if django.VERSION >= (6, 0) else ("Root", root)]
    handler = AdminEmailHandler(include_html=True)
    loggers = [logging.getLogger(name) for name in ("django.request", "frappe_tokens")]
    for logger in loggers:
        logger.addHandler(handler)
    yield lambda: "\n".join(
        message.body + "".join(str(part[0]) for part in message.alternatives)
        for message in mail.outbox
    )
    for logger in loggers:
        logger.removeHandler(handler)


@pytest.mark.django_db
@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize(("error", "status"), [(RuntimeError, 500), (OperationalError, 503)])
def test_oauth(error, status, debug, settings, monkeypatch, mailed):
    settings.DEBUG = debug
    monkeypatch.setattr("frappe_tokens.contrib.oauth2.answering.is_outage", lambda error: True)
    response = post_to_a_broken_toolkit(error, monkeypatch)
    assert response.status_code == status
    shown = response.content.decode() + mailed()
    assert "create_token_response" in shown
    assert "swordfish" not in shown


@pytest.mark.django_db
def test_the_projects_own_filter_stays(settings):
    class Filter(SafeExceptionReporterFilter):
        cleansed_substitute = "hidden by the project"

    request = RequestFactory().get("/")
    request.exception_reporter_filter = Filter()
    hiding_variables(lambda request: None)(request)
    ours = get_exception_reporter_filter(request)
    assert isinstance(ours, Filter)
    assert ours.is_active(None)
    assert ours.get_post_parameters(None) == {}
