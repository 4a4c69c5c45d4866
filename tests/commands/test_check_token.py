"""``manage.py check_token``, against a server on loopback."""

import io
import re
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from frappe_tokens.crypto import generate_api_secret
from frappe_tokens.exceptions import Mistake, Reason
from frappe_tokens.management.commands import check_token
from frappe_tokens.models import ApiKey

from ..documentation import page
from .running import serving

WHO = "/api/method/frappe.auth.get_logged_user"
NO_SERVER = "http://127.0.0.1:9/"
PAIR = "0123456789abcde:0123456789abcde"
PAGE = page("reference/commands")


@pytest.fixture
def check(monkeypatch):
    """Returns what the command prints, and the message that it ends with."""

    def check(url, token, *options):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{token}\n"))
        output = io.StringIO()
        try:
            call_command("check_token", url, *options, stdout=output)
        except CommandError as error:
            output.write(str(error))
        return output.getvalue()

    return check


@pytest.fixture
def server():
    """Serves one response: ``server(302, Location="{url}")`` is its address, the ``url``."""
    with ExitStack() as stack:

        def serve(status, content=b"", **headers):
            def answer(path):
                named = {name.replace("_", "-"): text.format(url=url) for name, text in sent}
                return status, content, named

            sent = headers.items()
            url = stack.enter_context(serving(answer))
            return url

        yield serve


@pytest.mark.parametrize("scheme", ["token", "basic", "bearer"])
def test_valid_token(live_server, keys, check, scheme):
    assert check(live_server + WHO, keys.token, "--scheme", scheme) == (
        "The Authorization header arrives.\n"
        "The token is valid: the view answered 200.\n"
        "The request ran as ada.\n"
    )


NOW = timezone.now()


@pytest.mark.parametrize(
    ("changes", "code", "advice"),
    [
        ({"revoked_at": NOW, "live": None}, "401 key_revoked", "Generate a new key."),
        ({"expires_at": NOW}, "401 key_expired", "later expiry"),
        ({"allowed_ips": ["203.0.113.0/24"]}, "403 ip_not_allowed", "CLIENT_ADDRESS_HEADER"),
    ],
    ids=["revoked", "expired", "elsewhere"],
)
def test_refused_token(live_server, keys, check, changes, code, advice):
    ApiKey.objects.update(**changes)

    output = check(live_server + WHO, keys.token)

    assert "The Authorization header arrives." in output
    assert f"refused with {code}" in output
    assert advice in output
    assert keys.api_secret not in output


def test_wrong_secret_or_source(live_server, keys, check):
    wrong = f"{keys.api_key}:{generate_api_secret()}"

    for token, options, refusal in [
        (wrong, [], Reason.INVALID_CREDENTIALS),
        (keys.token, ["--source", "ApiKey"], Mistake.UNKNOWN_SOURCE),
    ]:
        output = check(live_server + WHO, token, *options)
        assert "401 invalid_credentials" in output
        assert str(refusal.sentence) in output


@pytest.mark.parametrize(
    ("path", "end"),
    [
        ("/api/keys/", "The token is valid: the view answered 200.\n"),
        ("/api/keys/none/", "The token is valid, but the view answered 404."),
        (
            "/api/method/frappe.core.doctype.user.user.generate_keys",
            "its user may not do this: the view answered 403. Check the permissions of the user.",
        ),
    ],
)
def test_other_view(live_server, keys, check, path, end):
    assert check(live_server + path, keys.token).endswith(end)


@pytest.mark.parametrize(
    ("token", "advice"),
    [
        ("", "Enter the token on standard input"),
        ("ftk_0123456789abcdef", "The API secret is missing."),
        (str(generate_api_secret()), "The API key is missing."),
        ("0123456789abcdef", "The token has no colon."),
        ('"ftk_0123456789abcdef:secret"', "without the scheme, quotes or spaces"),
        ("token ftk_0123456789abcdef:secret", "without the scheme, quotes or spaces"),
        (f"ftk_0123456789abcdef:{generate_api_secret()[:-1]}", "mistyped or cut off"),
        (f"{generate_api_secret()}:ftk_0123456789abcdef", "in the wrong order"),
    ],
    ids=["empty", "key", "secret", "opaque", "quoted", "scheme", "cut off", "swapped"],
)
def test_what_could_be_valid_nowhere_is_not_sent(check, token, advice):
    assert advice in check(NO_SERVER, token)


LOGIN = {"WWW_Authenticate": 'Basic realm="api"'}
IGNORED = "doesn't depend on the Authorization header"


@pytest.mark.parametrize(
    ("answer", "content", "headers", "advice"),
    [
        (
            302,
            b"<html>",
            {"Location": "https://example.com/"},
            "redirects to https://example.com/, where",
        ),
        (301, b"<html>", {"Location": "{url}"}, "redirects to itself."),
        (401, b"<html>", LOGIN, "requires its own login"),
        (401, b"<html>", {"WWW_Authenticate": 'Digest realm="x"'}, "WSGIPassAuthorization On"),
        (400, b"<html>", {}, "Check ALLOWED_HOSTS"),
        (404, b"<html>", {}, "doesn't exist (404)"),
        (502, b"<html>", {}, "The server failed (502)"),
        (200, b"<html>", {}, IGNORED),
        # Of the app, to another header or none.
        (
            401,
            b'{"code": "invalid_credentials"}',
            LOGIN,
            "A different Authorization header arrives",
        ),
        (429, b'{"code": "too_many_failures"}', LOGIN, "A different Authorization header arrives"),
        (503, b'{"code": "service_unavailable"}', LOGIN, "The server failed (503)"),
        (401, b'{"detail": "not provided"}', LOGIN, IGNORED),
        (400, b'{"title": ["required"]}', LOGIN, IGNORED),
        # Of anything.
        (401, b'{"code": []}', {}, IGNORED),
        (401, b'{"code": {}}', {}, IGNORED),
        (401, b"[" * 100_000, {}, IGNORED),
        (401, b"\xff", {}, IGNORED),
        (401, b"7", {}, IGNORED),
    ],
    ids=range(18),
)
def test_header_that_does_not_arrive(server, check, answer, content, headers, advice):
    output = check(server(answer, content, **headers), PAIR)

    assert advice in output
    assert "The Authorization header arrives." not in output


def test_server_that_does_not_answer_or_breaks_off(server, check):
    broken = server(401, b"zz\r\nabc", Transfer_Encoding="chunked")

    for url in (NO_SERVER, broken):
        assert check(url, PAIR).startswith(f"{url} doesn't answer: ")


def test_token_that_is_not_text(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\n"), "utf-8"))

    with pytest.raises(CommandError, match="isn't text"):
        call_command("check_token", NO_SERVER)


def test_address_without_scheme(check):
    assert "http:// or https://" in check("127.0.0.1", "a:b")


def test_page_explains_messages_that_exist():
    rows = PAGE[PAGE.index("| It says |") :].partition("\n\n")[0].splitlines()[2:]
    source = re.sub(r'"\s+f?"', "", Path(check_token.__file__).read_text())

    explained = [text for row in rows for text in re.findall("`(.+?)`", row.split(" | ")[0])]

    assert len(explained) > 10
    assert [text for text in explained if text not in source] == []
