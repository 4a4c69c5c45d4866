"""``manage.py check_token URL``: whether a token arrives there, and why it is refused."""

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

_MOST_BYTES = 100_000

_ADVICE = {
    "malformed_credentials": "The token was changed on its way. Check the settings of the proxy.",
    "too_many_failures": "This address failed too often. Try again after the time in Retry-After.",
    "invalid_credentials": (
        "There is no such API key, or this isn't its current secret. If the key exists, generate "
        "a new secret. If it belongs to another source, use --source."
    ),
    "key_revoked": "Revoking is final. Generate a new key.",
    "key_disabled": "Ask for the key to be enabled, or generate a new one.",
    "key_expired": "Set a later expiry, or generate a new key.",
    "user_inactive": "Activate the user, or generate a key for another one.",
    "ip_not_allowed": (
        "The key doesn't allow the address from which the server received the request. Behind a "
        "proxy, check NUM_PROXIES and CLIENT_ADDRESS_HEADER."
    ),
    "key_read_only": "The URL needs a method that this key can't use.",
    "insufficient_scope": (
        "Give the key the scopes that this view requires (manage.py list_keys shows its own), "
        "or declare required_scopes on the view."
    ),
    "session_required": "Pages for people accept no tokens. Use a URL of the API.",
    "cross_site_request": "Use the token scheme.",
    "service_unavailable": "The server can't use its database. See its log.",
}


class Answer(NamedTuple):
    """The relevant parts of a response. ``body`` is empty unless it's a JSON object."""

    status: int
    headers: Message
    body: dict[str, Any]

    @property
    def code(self) -> str:
        """The code of our refusal; "" for any other response."""
        code = str(self.body.get("code"))
        return code if code in _ADVICE else ""


class Command(BaseCommand):
    help = (
        "Send a token to URL, and print whether it arrived and why it was refused. Enter the token "
        "on standard input: <api_key>:<api_secret>, or an OAuth 2 access token."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "url", metavar="URL", help="A URL of your API, with http:// or https://."
        )
        parser.add_argument(
            "--scheme",
            choices=SCHEMES,
            default="token",
            help="The scheme of the Authorization header. Default: token.",
        )
        parser.add_argument("--source", metavar="NAME", help="For Frappe-Authorization-Source.")

    @sensitive_variables()
    def handle(self, *args: object, **options: Any) -> None:
        url, scheme = options["url"], options["scheme"]
        if not url.startswith(("http://", "https://")):
            raise CommandError("Enter a URL that starts with http:// or https://.")
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
        # From get_logged_user.
        user = answer.body.get("message")
        if isinstance(user, str):
            self.stdout.write(f"The request ran as {printable(user)}.")


class _EveryAnswer(urllib.request.HTTPErrorProcessor):
    """Returns errors and redirects like any response. The token is sent to no other URL."""

    def http_response(self, request: object, response: Any) -> Any:
        return response

    https_response = http_response


@sensitive_variables()
def _ask(url: str, scheme: str, token: Secret, source: str | None = None) -> Answer:
    value = Secret(base64.b64encode(token.encode()).decode()) if scheme == "basic" else token
    headers = {"Accept": "application/json", "Authorization": Secret(f"{scheme} {value}")}
    if source is not None:
        headers["Frappe-Authorization-Source"] = source
    # S310 warns of URLs such as file://. handle() has refused all but http:// and https://.
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
    """Refuse a token that can't be valid anywhere, without sending it."""
    if not token:
        raise CommandError("Enter the token on standard input: <api_key>:<api_secret>.")
    # Only a Bearer credential may be a pair or an access token.
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
            f"{printable(url)} redirects to itself. If a proxy terminates TLS, have it send "
            "X-Forwarded-Proto, and set SECURE_PROXY_SSL_HEADER. See docs/help/troubleshooting.md."
        )
    return (
        f"{printable(url)} redirects to {printable(location)}, where clients may not send "
        "the Authorization header. Use that URL. If it is a login page, the header doesn't reach "
        "the app, or the view accepts no tokens. See docs/help/troubleshooting.md."
    )


def _why_not_arrived(probe: Answer) -> str:
    if probe.code and probe.status < 500:
        return (
            f"A different Authorization header arrives: it was refused with {probe.status} "
            f"{probe.code}. A proxy replaces it (proxy_set_header Authorization in nginx, "
            "RequestHeader in Apache). See docs/help/troubleshooting.md."
        )
    challenge = str(probe.headers.get("WWW-Authenticate", ""))
    # A view that didn't get the header answers in JSON, perhaps with the same challenge.
    if probe.status == 401 and challenge.lower().startswith("basic") and not probe.body:
        return (
            "A server in front of the app requires its own login (auth_basic in nginx, AuthType "
            "Basic in Apache), and refused the token. Exempt the API. See "
            "docs/help/troubleshooting.md."
        )
    if probe.status == 404:
        return "The URL doesn't exist (404)."
    if probe.status == 400 and not probe.body:
        return (
            "The request was refused before it reached a view (400). Check ALLOWED_HOSTS, and that "
            "the proxy sends the host (proxy_set_header Host $http_host in nginx). See "
            "docs/help/troubleshooting.md."
        )
    if probe.status >= 500:
        return f"The server failed ({probe.status}). See its log, or the log of the proxy."
    return (
        f"The response ({probe.status}) doesn't depend on the Authorization header: it doesn't "
        "reach the app (Apache's mod_wsgi needs WSGIPassAuthorization On), or a proxy replaces it, "
        "or the view uses other authentication classes. See docs/help/troubleshooting.md."
    )
