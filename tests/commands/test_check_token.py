"""``manage.py check_token``, against a server on loopback."""

import io
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from frappe_tokens.crypto import generate_api_secret
from frappe_tokens.keys import revoke
from frappe_tokens.models import ApiKey

WHO = "/api/method/frappe.auth.get_logged_user"


def check(url, token, monkeypatch, *options):
    """What the command prints, or the message that it ends with."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{token}\n"))
    output = io.StringIO()
    try:
        call_command("check_token", url, *options, stdout=output)
    except CommandError as error:
        return f"{output.getvalue()}{error}"
    return output.getvalue()


@pytest.fixture
def server():
    """Serves one answer: ``server(302, Location="/")`` is its address."""
    servers = []

    def serve(status, content=b"", **headers):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("scheme", ["token", "basic", "bearer"])
def test_valid_token(live_server, keys, monkeypatch, scheme):
    output = check(live_server + WHO, keys.token, monkeypatch, "--scheme", scheme)

    assert output == (
        "The Authorization header arrives.\n"
        "The token is valid: the view answered 200.\n"
        "The request ran as ada.\n"
    )


def revoked(keys):
    revoke(keys.instance)


def expired(keys):
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(days=1))


def elsewhere(keys):
    ApiKey.objects.update(allowed_ips=["203.0.113.0/24"])


@pytest.mark.parametrize(
    ("change", "code", "advice"),
    [
        (revoked, "401 key_revoked", "Generate a new key."),
        (expired, "401 key_expired", "later expiry"),
        (elsewhere, "403 ip_not_allowed", "NUM_PROXIES"),
    ],
)
def test_refused_token(live_server, keys, monkeypatch, change, code, advice):
    change(keys)

    output = check(live_server + WHO, keys.token, monkeypatch)

    assert "The Authorization header arrives." in output
    assert f"refused with {code}" in output
    assert advice in output
    assert keys.api_secret not in output


def test_wrong_secret_or_source(live_server, keys, monkeypatch):
    wrong = f"{keys.api_key}:{generate_api_secret()}"

    assert "401 invalid_credentials" in check(live_server + WHO, wrong, monkeypatch)
    assert "401 invalid_credentials" in check(
        live_server + WHO, keys.token, monkeypatch, "--source", "Nobody"
    )


def test_user_without_permission(live_server, keys, monkeypatch):
    output = check(
        f"{live_server}/api/method/frappe.core.doctype.user.user.generate_keys",
        keys.token,
        monkeypatch,
    )

    assert "The token is valid, but its user may not do this: the view answered 403." in output


def test_other_view(live_server, keys, monkeypatch):
    output = check(f"{live_server}/api/keys/", keys.token, monkeypatch)

    assert output.endswith("The token is valid: the view answered 200.\n")
    assert "The token is valid, but the view answered 404." in check(
        f"{live_server}/api/keys/none/", keys.token, monkeypatch
    )


@pytest.mark.parametrize(
    ("token", "advice"),
    [
        ("", "Enter the token on standard input"),
        ("ftk_0123456789abcdef", "Enter <api_key>:<api_secret> alone"),
        ("0123456789abcdef", "The token has no colon."),
        ('"ftk_0123456789abcdef:secret"', "without the scheme, quotes or spaces"),
        ("token ftk_0123456789abcdef:secret", "without the scheme, quotes or spaces"),
        (f"ftk_0123456789abcdef:{generate_api_secret()[:-1]}", "mistyped or cut off"),
        (f"{generate_api_secret()}:ftk_0123456789abcdef", "the key first"),
    ],
    ids=["empty", "key", "opaque", "quoted", "scheme", "cut off", "swapped"],
)
def test_what_could_be_valid_nowhere_is_not_sent(monkeypatch, token, advice):
    assert advice in check("http://127.0.0.1:9/", token, monkeypatch)


@pytest.mark.parametrize(
    ("answer", "headers", "advice"),
    [
        (302, {"Location": "https://example.com/"}, "redirects to https://example.com/."),
        (401, {"WWW_Authenticate": 'Basic realm="Staging"'}, "asks for a login of its own"),
        (401, {"WWW_Authenticate": 'Digest realm="x"'}, "WSGIPassAuthorization On"),
        (404, {}, "no such address"),
        (502, {}, "The server failed (502)"),
        (200, {}, "doesn't depend on the Authorization header"),
    ],
)
def test_header_that_does_not_arrive(server, monkeypatch, answer, headers, advice):
    output = check(
        server(answer, b"<html>", **headers), "0123456789abcde:0123456789abcde", monkeypatch
    )

    assert advice in output
    assert "arrives" not in output


@pytest.mark.parametrize(
    "content", [b'{"code": []}', b'{"code": {}}', b"[" * 100_000, b"\xff", b"7"], ids=range(5)
)
def test_odd_answer(server, monkeypatch, content):
    output = check(server(401, content), "0123456789abcde:0123456789abcde", monkeypatch)

    assert "doesn't depend on the Authorization header" in output


def test_answer_that_breaks_off(server, monkeypatch):
    url = server(401, b"zz\r\nabc", Transfer_Encoding="chunked")

    assert "doesn't answer: " in check(url, "0123456789abcde:0123456789abcde", monkeypatch)


def test_token_that_is_not_text(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\n"), "utf-8"))

    with pytest.raises(CommandError, match="isn't text"):
        call_command("check_token", "http://127.0.0.1:9/")


def test_server_that_does_not_answer(monkeypatch):
    output = check("http://127.0.0.1:9/", "0123456789abcde:0123456789abcde", monkeypatch)

    assert output.startswith("http://127.0.0.1:9/ doesn't answer: ")


def test_address_without_scheme(monkeypatch):
    assert "http:// or https://" in check("127.0.0.1", "a:b", monkeypatch)
