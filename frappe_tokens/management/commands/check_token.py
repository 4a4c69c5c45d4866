"""``manage.py check_token URL``: what arrives of a token there, and why it is refused."""

from __future__ import annotations

import base64
import getpass
import http.client
import json
import sys
import urllib.request
from email.message import Message
from typing import Any, NamedTuple

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.views.decorators.debug import sensitive_variables

from ...conf import conf
from ...credentials import SCHEMES, parse
from ...crypto import Secret
from ..selection import printable

TIMEOUT_SECONDS = 10

# Answers are shown in part only: a page of errors is long.
_MOST_BYTES = 100_000

_ADVICE = {
    "malformed_credentials": "The token was changed on its way. Compare the proxy's settings.",
    "too_many_failures": "This address failed too often. Wait for the time that Retry-After says.",
    "invalid_credentials": (
        "There is no such API key, or this isn't its current secret. If the key exists, generate "
        "a new secret. If it belongs to another source, use --source."
    ),
    "key_revoked": "Revoking is final. Generate a new key.",
    "key_expired": "Set a later expiry, or generate a new key.",
    "user_inactive": "Activate the user, or generate a key for another one.",
    "ip_not_allowed": (
        "The server sees a client's address that isn't in the key's allowed addresses. Behind a "
        "proxy, check NUM_PROXIES and CLIENT_ADDRESS_HEADER."
    ),
    "key_read_only": "The address needs another method, which this key can't use.",
    "insufficient_scope": (
        "Give the key the scopes that this view requires (manage.py list_keys shows its own), "
        "or declare required_scopes on the view."
    ),
    "session_required": "Pages for people take no tokens. Ask an address of the API.",
    "cross_site_request": "Use the token scheme.",
    "service_unavailable": "The server can't use its database. Its log says why.",
}


class Answer(NamedTuple):
    """The parts of a response that are of interest here. Only a JSON object counts as a body."""

    status: int
    headers: Message
    body: dict[str, Any]

    @property
    def code(self) -> str:
        """Our code of a refusal; "" if the answer isn't one of our refusals."""
        code = str(self.body.get("code"))
        return code if code in _ADVICE else ""


class Command(BaseCommand):
    help = (
        "Send a token to URL, and say whether it arrived and why it was refused. Enter the token "
        "on standard input: <api_key>:<api_secret>, or an OAuth 2 access token."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("url", metavar="URL", help="an address of your API, with http(s)://")
        parser.add_argument("--scheme", choices=SCHEMES, default="token")
        parser.add_argument("--source", metavar="NAME", help="for Frappe-Authorization-Source")

    @sensitive_variables()
    def handle(self, *args: object, **options: Any) -> None:
        url, scheme = options["url"], options["scheme"]
        if not url.startswith(("http://", "https://")):
            raise CommandError("Enter an address that starts with http:// or https://.")
        token = _read_token()
        _check_form(token, scheme)
        # A pair without a secret is refused as malformed wherever it arrives.
        probe = _ask(url, scheme, Secret(f"{conf.KEY_PREFIX}check:"))
        if probe.status in {301, 302, 303, 307, 308}:
            raise CommandError(_explain_redirect(url, str(probe.headers["Location"])))
        if probe.code not in {"malformed_credentials", "session_required"}:
            raise CommandError(_why_not_arrived(probe))
        self.stdout.write("The Authorization header arrives.")
        answer = _ask(url, scheme, token, options["source"])
        if answer.code:
            raise CommandError(
                f"The token was refused with {answer.status} {answer.code}: "
                f"{printable(str(answer.body.get('detail') or answer.body.get('exception')))}\n"
                f"{_ADVICE[answer.code]}"
            )
        if answer.status in {401, 403}:
            raise CommandError(
                f"The token is valid, but its user may not do this: the view answered "
                f"{answer.status}. Check the permissions of the user."
            )
        if answer.status >= 400:
            raise CommandError(f"The token is valid, but the view answered {answer.status}.")
        self.stdout.write(
            self.style.SUCCESS(f"The token is valid: the view answered {answer.status}.")
        )
        # Where get_logged_user answers.
        user = answer.body.get("message")
        if isinstance(user, str):
            self.stdout.write(f"The request ran as {printable(user)}.")


class _EveryAnswer(urllib.request.HTTPErrorProcessor):
    """Returns errors and redirects like any other response. The token is sent to no other URL."""

    def http_response(self, request: object, response: Any) -> Any:
        return response

    https_response = http_response


@sensitive_variables()
def _ask(url: str, scheme: str, token: Secret, source: str | None = None) -> Answer:
    value = base64.b64encode(token.encode()).decode() if scheme == "basic" else token
    headers = {"Accept": "application/json", "Authorization": f"{scheme} {value}"}
    if source is not None:
        headers["Frappe-Authorization-Source"] = source
    # S310 fears file:// and the like, which handle() has refused.
    request = urllib.request.Request(url, headers=headers)  # noqa: S310
    opener = urllib.request.build_opener(_EveryAnswer)
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            content = response.read(_MOST_BYTES)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise CommandError(f"{printable(url)} doesn't answer: {reason}") from None
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    return Answer(response.status, response.headers, body if isinstance(body, dict) else {})


def _read_token() -> Secret:
    terminal = sys.stdin.isatty()
    try:
        return Secret((getpass.getpass("Token: ") if terminal else sys.stdin.readline()).strip())
    except UnicodeDecodeError:
        raise CommandError("The token isn't text.") from None


@sensitive_variables()
def _check_form(token: Secret, scheme: str) -> None:
    """Refuse what could not be valid anywhere, without sending it.

    Raises:
        CommandError: with what to enter instead.
    """
    if not token:
        raise CommandError("Enter the token on standard input: <api_key>:<api_secret>.")
    # As a Bearer credential, it may be a pair or an access token.
    credential = parse(Secret(f"bearer {token}"), "bearer")
    if credential is not None and token[0] not in "\"'":
        if credential.mistake is not None:
            raise CommandError(str(credential.mistake.sentence))
        if credential.well_formed or (credential.access_token and scheme == "bearer"):
            return
        if credential.access_token:
            raise CommandError(
                "The token has no colon. Enter <api_key>:<api_secret>, or use --scheme bearer for "
                "an OAuth 2 access token."
            )
    raise CommandError(
        "The token isn't well formed. Enter <api_key>:<api_secret> alone, without the scheme, "
        "quotes or spaces."
    )


def _explain_redirect(url: str, location: str) -> str:
    if location == url:
        return (
            f"{printable(url)} redirects to itself. Behind a proxy that ends TLS, have it send "
            "X-Forwarded-Proto, and set SECURE_PROXY_SSL_HEADER. See docs/troubleshooting.md."
        )
    return (
        f"{printable(url)} redirects to {printable(location)}. Clients may leave the "
        "Authorization header out there. Use that address. If it is a login page, the header "
        "doesn't reach the app, or the view takes no tokens. See docs/troubleshooting.md."
    )


def _why_not_arrived(probe: Answer) -> str:
    if probe.code and probe.status < 500:
        return (
            f"Another Authorization header arrives than the one that was sent: it was refused with "
            f"{probe.status} {probe.code}. A proxy replaces it (proxy_set_header Authorization in "
            "nginx, RequestHeader in Apache). See docs/troubleshooting.md."
        )
    challenge = str(probe.headers.get("WWW-Authenticate", ""))
    # A view that didn't get the header answers in JSON, perhaps with the same challenge.
    if probe.status == 401 and challenge.lower().startswith("basic") and not probe.body:
        return (
            "A server in front of the app asks for a login of its own (auth_basic of nginx, or "
            "AuthType Basic of Apache), and refused the token. Exempt the API from it. See "
            "docs/troubleshooting.md."
        )
    if probe.status == 404:
        return "There is no such address (404). Check the URL."
    if probe.status == 400 and not probe.body:
        return (
            "The request was refused before it reached a view (400). Check ALLOWED_HOSTS, and that "
            "a proxy passes the host on (proxy_set_header Host $http_host in nginx). See "
            "docs/troubleshooting.md."
        )
    if probe.status >= 500:
        return f"The server failed ({probe.status}). Its log, or that of the proxy, says why."
    return (
        f"The answer ({probe.status}) doesn't depend on the Authorization header: either it "
        "doesn't reach the app (Apache's mod_wsgi needs WSGIPassAuthorization On), or a proxy "
        "replaces it, or this address is authenticated by other classes. See "
        "docs/troubleshooting.md."
    )
